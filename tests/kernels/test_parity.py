"""Every case of `kobert_kernels.cases`, and the rule's teeth."""

import pytest
import torch

from kobert_kernels import dispatch, parity
from kobert_kernels.cases import cases

GPU = torch.cuda.is_available()
CASES = [case for d in (torch.float32, torch.float16) for case in cases(d, large=GPU)]
BF16 = cases(torch.bfloat16, large=True)


# Width 1 has variance 0 and 1/sqrt(eps) = 1e6; masked columns, never stored, overflow fp16.
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_triton_is_as_exact_as_pytorch_and_the_rule_can_tell(case, device):
    verdict = parity.check(case, device)
    assert verdict.passed, "\n".join(verdict.problems)
    assert verdict.teeth > 0 or all_zero(case)


def all_zero(case):
    """Nothing comes of an empty batch, or of tokens that belong to no sequence."""
    answers = parity.answers(case, case.inputs("cpu"))
    return not any(tensor.any() for tensor in answers.exact.values())


@pytest.mark.gpu
@pytest.mark.parametrize("case", BF16, ids=lambda case: case.name)
def test_triton_is_as_exact_as_pytorch_in_bf16(case):
    """On a GPU alone: the interpreter does arithmetic on the bit patterns of bf16."""
    verdict = parity.check(case, "cuda")
    assert verdict.passed, "\n".join(verdict.problems)


def test_every_op_has_cases_and_every_case_its_own_name():
    assert {case.op for case in CASES} == set(dispatch.ops())
    names = [case.name for case in CASES + BF16]
    assert len(set(names)) == len(names)


def test_a_wrong_kernel_is_named():
    case = next(c for c in CASES if c.op == "layer_norm" and c.rows == 37)

    def negated(*args, **options):
        return -parity.implementation("layer_norm", "torch")(*args, **options)

    verdict = parity.check(case, "cpu", negated)
    assert not verdict.passed
    named = {line.split(":")[0] for line in verdict.problems}
    assert named == {c.name for c in verdict.comparisons}


def test_a_kernel_that_writes_to_its_inputs_is_named():
    case = next(c for c in CASES if c.op == "layer_norm" and c.rows == 37)

    def careless(x, *args, **options):
        y = parity.implementation("layer_norm", "torch")(x, *args, **options)
        x.data.mul_(2)
        return y

    assert parity.check(case, "cpu", careless).inputs_changed == ["x"]


def test_an_element_that_nothing_wrote_is_nan():
    with parity.poisoned_memory():
        assert torch.empty(3).isnan().all()
        assert torch.empty_like(torch.zeros(3)).isnan().all()
        assert torch.empty(2, dtype=torch.int64).shape == (2,)


def test_not_a_number_fails():
    one = torch.ones(3)
    wrong = one.clone()
    wrong[1] = float("nan")
    assert not parity.compare("y", wrong, one, one.double(), factor=2.0).passed


def test_a_wrong_dtype_or_shape_is_no_comparison():
    one = torch.ones(3)
    with pytest.raises(ValueError, match=r"y: torch\.float16"):
        parity.compare("y", one.half(), one, one.double(), factor=2.0)
    with pytest.raises(ValueError, match=r"\[2\]"):
        parity.compare("y", one[:2], one, one.double(), factor=2.0)
