"""What only a GPU can show: no host synchronisation, CUDA graphs, inductor, the same dropout
bits."""

import dataclasses

import pytest
import torch

from kobert_kernels import parity
from kobert_kernels.cases import cases
from kobert_kernels.philox import keep_rows, keep_scores

pytestmark = pytest.mark.gpu

# One case of each op with most of its options on: the last of its list.
ALL = cases(torch.bfloat16, large=True)
BF16 = list({case.op: case for case in ALL if case.summed_rows}.values())
by_name = pytest.mark.parametrize("case", BF16, ids=lambda case: case.name)


def kernel_of(case):
    return parity.implementation(case.op, "triton")


@by_name
def test_nothing_waits_for_the_gpu(case):
    """Reading a count or a length back would stop the launches until the GPU has caught up."""
    inputs = case.inputs("cuda")
    case.run(kernel_of(case), inputs)  # compiled
    leaves = case.leaves(inputs)
    arguments = case.arguments(leaves)
    incoming = case.incoming([t for t in case.call(kernel_of(case), arguments) if t.requires_grad])
    arguments = case.arguments(leaves)
    torch.cuda.set_sync_debug_mode("error")
    try:
        results = [t for t in case.call(kernel_of(case), arguments) if t.requires_grad]
        wanted = [t for t in leaves.values() if t.requires_grad]
        torch.autograd.grad(results, wanted, incoming, materialize_grads=True)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@by_name
def test_a_captured_graph_replays_the_same_bits(case):
    inputs = case.inputs("cuda")
    expected = case.run(kernel_of(case), inputs)
    leaves = case.leaves(inputs)
    wanted = {name: t for name, t in leaves.items() if t.requires_grad}
    shapes = [t for t in case.call(kernel_of(case), case.arguments(leaves)) if t.requires_grad]
    incoming = case.incoming(shapes)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()

    def step():
        results = case.call(kernel_of(case), case.arguments(leaves))
        smooth = [t for t in results if t.requires_grad]
        return results, torch.autograd.grad(
            smooth, list(wanted.values()), incoming, materialize_grads=True
        )

    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        results, gradients = step()
    for tensor in (*results, *gradients):
        tensor.detach().zero_()
    graph.replay()
    torch.cuda.synchronize()
    for name, tensor in zip(case.results, results, strict=True):
        assert torch.equal(tensor.detach(), expected[name]), name
    for name, tensor in zip(wanted, gradients, strict=True):
        assert torch.equal(tensor, expected[f"d{name}"]), f"d{name}"


# torch 2.11 to 2.13 (2026): Dynamo itself makes an instance of every autograd.Function it traces.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.parametrize("dynamic", [False, True])
@by_name
def test_inductor_compiles_it_as_one_graph(case, dynamic):
    torch._dynamo.reset()
    inputs = case.inputs("cuda")
    compiled = torch.compile(kernel_of(case), fullgraph=True, dynamic=dynamic)
    expected = case.run(kernel_of(case), inputs)
    for name, tensor in case.run(compiled, inputs).items():
        assert torch.equal(tensor, expected[name]), name


@by_name
def test_expanded_gradients_and_slices_in_bf16(case):
    for layout in ("sliced", "expanded"):
        verdict = parity.check(dataclasses.replace(case, layout=layout), "cuda")
        assert verdict.passed, "\n".join(verdict.problems)


def test_dropout_drops_on_a_gpu_what_it_drops_on_a_cpu():
    seed = torch.tensor([123456789012345])
    assert torch.equal(keep_rows(seed.cuda(), 300, 770, 0.1).cpu(), keep_rows(seed, 300, 770, 0.1))
    numbers = torch.arange(3)
    on_gpu = keep_scores(seed.cuda(), numbers.cuda(), 4, 129, 0.1).cpu()
    assert torch.equal(on_gpu, keep_scores(seed, numbers, 4, 129, 0.1))
