"""Every case of `kobert_kernels.parity`, and the rule's teeth."""

import pytest
import torch

from kobert_kernels import parity

GPU = torch.cuda.is_available()
CASES = [
    case for dtype in (torch.float32, torch.float16) for case in parity.cases(dtype, large=GPU)
]
TEETH = [case for case in CASES if case.name.startswith(("layer_norm-37x100", "attention-64+3+13"))]
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


# Width 1 has variance 0 and 1/sqrt(eps) = 1e6; masked columns, never stored, overflow fp16.
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@by_name
def test_triton_is_as_exact_as_pytorch(case, device):
    failed = [str(c) for c in parity.check(case, device) if not c.passed]
    assert not failed, "\n".join(failed)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "case", parity.cases(torch.bfloat16, large=True), ids=lambda case: case.name
)
def test_triton_is_as_exact_as_pytorch_in_bf16(case):
    """On a GPU alone: the interpreter does arithmetic on the bit patterns of bf16."""
    failed = [str(c) for c in parity.check(case, "cuda") if not c.passed]
    assert not failed, "\n".join(failed)


def zeros(tensors, name):
    return torch.zeros_like(tensors[name])


def one_wrong_row(tensors, name):
    wrong = tensors[name].clone()
    wrong[1] = wrong[0]
    return wrong


def another_output(tensors, name):
    twins = [n for n, t in tensors.items() if n != name and t.shape == tensors[name].shape]
    return tensors[twins[0]]


def negated(tensors, name):
    return -tensors[name]


def slightly_scaled(tensors, name):
    """Off by 2 %, as from one dropout threshold or scale for another."""
    return tensors[name] * 1.02


def half_as_many_bits(tensors, name):
    """As if accumulated in bf16, with 8 bits, or for fp16 results in 5."""
    if tensors[name].dtype == torch.float32:
        return tensors[name].bfloat16().float()
    return tensors[name].to(torch.float8_e5m2).to(tensors[name].dtype)


def not_a_number(tensors, name):
    wrong = tensors[name].clone()
    wrong.flatten()[-1] = float("nan")
    return wrong


@pytest.mark.parametrize("case", TEETH, ids=lambda case: case.name)
@pytest.mark.parametrize(
    "damage",
    [
        zeros,
        one_wrong_row,
        another_output,
        negated,
        slightly_scaled,
        half_as_many_bits,
        not_a_number,
    ],
)
def test_the_rule_rejects(case, damage):
    right = case.run(case.reference, case.inputs("cpu"))
    for name in right:
        wrong = right | {name: damage(right, name)}
        passed = {c.name: c.passed for c in parity.compare_all(case, wrong)}
        assert not passed.pop(name), name
        assert all(passed.values())  # and it names the culprit alone


@pytest.mark.parametrize("case", TEETH, ids=lambda case: case.name)
def test_the_rule_rejects_the_input_as_output(case):
    inputs = case.inputs("cpu")
    right = case.run(case.reference, inputs)
    for name in right:
        source = next(iter(inputs)) if name == "y" else name[1:]
        wrong = right | {name: inputs[source]}
        assert not {c.name: c.passed for c in parity.compare_all(case, wrong)}[name]


def test_a_wrong_dtype_or_shape_is_no_comparison():
    one = torch.ones(3)
    with pytest.raises(ValueError, match=r"y: torch\.float16"):
        parity.compare("y", one.half(), one, one.double(), factor=2.0)
    with pytest.raises(ValueError, match=r"\[2\]"):
        parity.compare("y", one[:2], one, one.double(), factor=2.0)


def test_every_case_has_its_own_name():
    names = [c.name for d in (torch.float32, torch.bfloat16) for c in parity.cases(d, large=True)]
    assert len(set(names)) == len(names)
