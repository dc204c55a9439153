"""What holds for every op alike: torch.compile, checkpointing, opcheck, gradcheck, repetition."""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from kobert_kernels import dispatch, parity
from kobert_kernels.cases import cases


def numbers_in(case):
    return sum(t.numel() for t in case.inputs("cpu").values())


def options_of(case):
    return case.shape.count("-") + (case.layout != "packed") + (case.weight_dtype is not None)


def most_options(chosen, count):
    """Of each op the cases with the most options on, the small ones first."""
    ordered = sorted(chosen, key=lambda case: (-options_of(case), numbers_in(case)))
    ops = dict.fromkeys(case.op for case in chosen)
    return [case for op in ops for case in [c for c in ordered if c.op == op][:count]]


ALL = cases(torch.float32, large=False)
EMPTY = [case for case in ALL if case.summed_rows == 0]
SMALL = most_options(ALL, 3) + most_options(EMPTY, 1)
# For gradcheck, which calls the op for each of a few directions.
TINY = most_options([c for c in ALL if c.layout == "packed" and 0 < numbers_in(c) < 2500], 3)
COMPILED = most_options([c for c in ALL if c.summed_rows > 0], 1)
by_name = pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)


def kernel_of(case):
    """The kernel; if it consumes its first argument, with the copy as part of what is compiled."""
    kernel = parity.implementation(case.op, "triton")
    if not case.consumed:
        return kernel
    return lambda consumed, *args, **options: kernel(consumed.clone(), *args, **options)


class Recorder(TorchDispatchMode):
    """Notes every call of an operator of ours."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "kobert":
            self.calls.append((func, copied(args), kwargs or {}))
        return func(*args, **(kwargs or {}))


def copied(args):
    """Before the operator may write to them; strides as they were."""
    return tuple(
        torch.empty_strided(a.size(), a.stride(), dtype=a.dtype, device=a.device).copy_(a)
        if isinstance(a, torch.Tensor) and 0 not in a.stride()
        else a.clone().expand(a.shape)
        if isinstance(a, torch.Tensor)
        else a
        for a in args
    )


def test_every_op_is_tried():
    for chosen in (SMALL, TINY, COMPILED):
        assert {case.op for case in chosen} == set(dispatch.ops())


@by_name
def test_opcheck(case, device):
    """Schema, fake tensors and dynamic shapes of each operator, on the arguments of a real call."""
    with Recorder() as recorder:
        case.run(kernel_of(case), case.inputs(device))
    assert recorder.calls
    seen = set()
    for func, args, kwargs in recorder.calls:
        if func not in seen:
            torch.library.opcheck(func, args, kwargs)
        seen.add(func)


@pytest.mark.parametrize("case", TINY, ids=lambda case: case.name)
def test_gradcheck_in_fp64(case, device):
    case = dataclasses.replace(case, dtype=torch.float64, weight_dtype=None)
    inputs = case.inputs(device)
    smooth = [name for name, t in inputs.items() if t.is_floating_point()]

    def call(*leaves):
        results = case.call(kernel_of(case), inputs | dict(zip(smooth, leaves, strict=True)))
        return tuple(t for t in results if t.is_floating_point())

    leaves = [inputs[name].clone().requires_grad_() for name in smooth]
    assert torch.autograd.gradcheck(call, leaves, fast_mode=True)


# torch 2.13 (2026): Dynamo itself makes an instance of every autograd.Function that it traces.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
# And it looks at the gradient of every tensor it is given.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.name)
def test_compiled_as_one_graph_gives_the_same_bits(case, dynamic, device):
    torch._dynamo.reset()
    inputs = case.inputs(device)
    compiled = torch.compile(kernel_of(case), fullgraph=True, dynamic=dynamic, backend="aot_eager")
    same(case.run(compiled, inputs), case.run(kernel_of(case), inputs))


@by_name
def test_checkpointing_recomputes_the_same_bits(case, device):
    def recomputed(*args, **options):
        return checkpoint(kernel_of(case), *args, **options, use_reentrant=False)

    inputs = case.inputs(device)
    same(case.run(recomputed, inputs), case.run(kernel_of(case), inputs))


@by_name
def test_two_runs_give_the_same_bits(case, device):
    inputs = case.inputs(device)
    same(case.run(kernel_of(case), inputs), case.run(kernel_of(case), inputs))


def same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=0, atol=0, equal_nan=True)
