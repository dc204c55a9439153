import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kobert_kernels import embedding, embedding_reference, launches, layer_norm_reference, use
from kobert_kernels.embedding import (
    embedding_bwd,
    embedding_fwd,
    embedding_table_bwd,
    embedding_triton,
)
from kobert_kernels.philox import keep_rows, keep_scale

OPS = pytest.mark.parametrize("op", [embedding_triton, embedding_reference])
PROPERTY = settings(max_examples=12, deadline=None, derandomize=True)
TOKENS, WIDTH = 17, 24
WORDS, POSITIONS, SEGMENTS = 20, 9, 2
TABLES = ("words", "position_table", "segment_table")


def inputs(device, tokens=TOKENS, width=WIDTH, segments=SEGMENTS, dtype=torch.float32):
    """Everything the op takes, as keyword arguments."""
    draw = torch.Generator().manual_seed(tokens * 1000 + width)
    rows = (WORDS, POSITIONS, segments)
    words, position_table, segment_table = (torch.randn(n, width, generator=draw) for n in rows)
    weight, bias = torch.randn(2, width, generator=draw)
    named = {
        "words": words,
        "position_table": position_table,
        "segment_table": segment_table,
        "weight": weight,
        "bias": bias,
    }
    named = {name: t.to(device, dtype) for name, t in named.items()}
    ids = [torch.randint(n, (tokens,), generator=draw, dtype=torch.int32) for n in rows]
    return named | dict(
        zip(("tokens", "positions", "segments"), (t.to(device) for t in ids), strict=True)
    )


def gradient(given, seed=0):
    draw = torch.Generator().manual_seed(seed)
    shape = (given["tokens"].shape[0], given["words"].shape[1])
    return torch.randn(shape, generator=draw).to(given["words"])


def gradients(op, given, grad, **options):
    """The result `y` and the gradients by name."""
    given = {n: t.detach() for n, t in given.items()}
    leaves = {n: t.requires_grad_() for n, t in given.items() if t.is_floating_point()}
    y = op(**given, **options)
    found = torch.autograd.grad(y, list(leaves.values()), grad.to(y.dtype))
    return {"y": y.detach()} | dict(zip(leaves, found, strict=True))


def dropping(device, dropout=0.25):
    return {"dropout": dropout, "seed": torch.tensor([77], device=device)}


def summed(given):
    """The sum z before the norm."""
    names = (("words", "tokens"), ("position_table", "positions"), ("segment_table", "segments"))
    return sum(given[table][given[ids].long()] for table, ids in names)


def same(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


# Forward


@OPS
def test_it_is_the_layer_norm_of_the_sum_then_dropout(op, device):
    given = inputs(device)
    expected = layer_norm_reference(summed(given), given["weight"], given["bias"])
    torch.testing.assert_close(op(**given), expected)
    keep = keep_rows(torch.tensor([77], device=device), TOKENS, WIDTH, 0.25)
    expected = torch.where(keep, expected * keep_scale(0.25), 0.0)
    torch.testing.assert_close(op(**given, **dropping(device)), expected)


@OPS
@pytest.mark.parametrize("kept", [(), ("positions",), ("segments",)], ids=str)
def test_positions_and_segments_may_be_missing(op, kept, device):
    given = inputs(device)
    other = {"positions": "position_table", "segments": "segment_table"}
    z = given["words"][given["tokens"].long()]
    for ids, table in other.items():
        if ids in kept:
            z = z + given[table][given[ids].long()]
        else:
            del given[ids], given[table]
    del given["bias"]
    grad = gradient(given)
    got = gradients(op, given, grad)
    torch.testing.assert_close(got["y"], layer_norm_reference(z, given["weight"]))
    expected = gradients(embedding_reference, given, grad)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-5, atol=2e-5)


@PROPERTY
@given(tokens=st.integers(1, 40), width=st.integers(2, 140))
def test_permuted_tokens_are_permuted_rows(device, tokens, width):
    given = inputs(device, tokens, width)
    order = torch.randperm(tokens, generator=torch.Generator().manual_seed(tokens)).to(device)
    permuted = given | {n: given[n][order] for n in ("tokens", "positions", "segments")}
    assert torch.equal(embedding_triton(**permuted), embedding_triton(**given)[order])


@PROPERTY
@given(dropout=st.floats(0.01, 0.9), seed=st.integers(-(2**63), 2**63 - 1))
def test_as_many_are_dropped_as_asked_for(device, dropout, seed):
    given = inputs(device, tokens=40)
    given["bias"] += 10.0  # so that none is 0 by itself
    seed = torch.tensor([seed], device=device)
    y = embedding_triton(**given, dropout=dropout, seed=seed)
    share = (y == 0).double().mean().item()
    # Five standard deviations of a binomial: one draw in two million is outside.
    assert abs(share - dropout) < 5 * math.sqrt(dropout * (1 - dropout) / y.numel()) + 1e-5


@OPS
def test_both_directions_drop_the_same(op, device):
    given = inputs(device)
    grad = gradient(given)
    got = gradients(op, given, grad, **dropping(device))
    keep = got["y"] != 0
    assert torch.equal(keep, keep_rows(torch.tensor([77], device=device), TOKENS, WIDTH, 0.25))
    dbias = torch.where(keep, grad * keep_scale(0.25), 0.0).sum(0)
    torch.testing.assert_close(got["bias"], dbias, rtol=1e-5, atol=1e-5)
    moved = grad + torch.where(keep, 0.0, 100.0)
    same(gradients(op, given, moved, **dropping(device)), got)


@OPS
def test_a_constant_row_gives_the_bias_and_finite_gradients(op, device):
    given = inputs(device)
    for name in TABLES:
        given[name].fill_(2.0)
    got = gradients(op, given, gradient(given))
    assert torch.equal(got["y"], given["bias"].expand(TOKENS, WIDTH))
    assert all(value.isfinite().all() for value in got.values())


def test_a_huge_mean_does_not_drown_a_small_variance(device):
    given = inputs(device)
    given["words"] = (given["words"] * 64).round() / 64 + 10000  # exact, so that the shift is
    for name in ("position_table", "segment_table"):
        given[name].zero_()
    exact = {n: t.double() if t.is_floating_point() else t for n, t in given.items()}
    exact["words"] = exact["words"] - 10000
    # The mean itself is known to half an ulp of 10000, 5e-4, times the largest weight.
    got = embedding_triton(**given).double()
    torch.testing.assert_close(got, embedding_reference(**exact), rtol=0, atol=2e-3)


@OPS
def test_a_single_column_is_its_own_mean(op, device):
    given = inputs(device, width=1)
    got = gradients(op, given, gradient(given))
    torch.testing.assert_close(got["y"], given["bias"].expand(TOKENS, 1), rtol=0, atol=0.5)
    assert all(value.isfinite().all() for value in got.values())


# Ids that no table has


@pytest.mark.parametrize("ids", ["tokens", "positions", "segments"])
@pytest.mark.parametrize("wrong", [-1, 20, -(2**31), 2**31 - 1])
def test_an_id_out_of_range_is_a_row_of_nan_and_nothing_is_read(ids, wrong, device):
    given = inputs(device)
    right = gradients(embedding_triton, given, gradient(given))
    given[ids][7] = wrong
    got = gradients(embedding_triton, given, gradient(given))
    others = torch.arange(TOKENS, device=device) != 7
    assert got["y"][7].isnan().all()
    assert torch.equal(got["y"][others], right["y"][others])
    assert got["weight"].isnan().all()
    # Only rows that the token shares with others show it.
    for name, of in (("words", "tokens"), ("position_table", "positions")):
        table = got[name]
        touched = torch.zeros(table.shape[0], dtype=torch.bool, device=device)
        if ids != of:
            touched[given[of][7].long()] = True
        assert torch.equal(table.isnan().any(1), touched)


def test_the_reference_raises_for_an_id_out_of_range():
    for ids in ("tokens", "positions", "segments"):
        given = inputs("cpu")
        given[ids][7] = 20
        with pytest.raises(IndexError):
            embedding_reference(**given)


# Gradients of the tables


@OPS
def test_the_gradient_of_a_word_is_the_sum_over_its_occurrences(op, device):
    given = inputs(device, tokens=70)
    given["tokens"][10:60] = 3
    grad = gradient(given)
    z = summed(given).double().requires_grad_()
    affine = given["weight"].double(), given["bias"].double()
    (dz,) = torch.autograd.grad(layer_norm_reference(z, *affine), z, grad.double())
    got = gradients(op, given, grad)
    for table, ids in (
        ("words", "tokens"),
        ("position_table", "positions"),
        ("segment_table", "segments"),
    ):
        expected = torch.zeros_like(given[table], dtype=torch.float64)
        expected.index_add_(0, given[ids].long(), dz)
        torch.testing.assert_close(got[table].double(), expected, rtol=1e-5, atol=3e-5)


@PROPERTY
@given(
    tokens=st.integers(1, 40),
    rows=st.integers(1, 30),
    chunk=st.integers(1, 9),
    step=st.sampled_from([1, 2, 4]),
    padding=st.integers(-1, 3),
    data=st.data(),
)
def test_runs_are_summed_wherever_the_chunks_end(device, tokens, rows, chunk, step, padding, data):
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    hot = torch.rand(tokens, generator=draw) < data.draw(st.sampled_from([0.0, 0.5, 0.95]))
    # From -2 to rows + 1: some are out of range.
    ids = torch.randint(-2, rows + 2, (tokens,), generator=draw).masked_fill(hot, rows // 2)
    dz = torch.randn(tokens, 5, generator=draw)
    real = (ids >= 0) & (ids < rows) & (ids != padding)
    expected = torch.zeros(rows, 5, dtype=torch.float64)
    expected.index_add_(0, ids[real], dz[real].double())
    with launches.replaced(*smaller(chunk, step)):
        got = embedding_table_bwd(dz.to(device), ids.to(device), rows, padding)
    torch.testing.assert_close(got.cpu().double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_programs_share_the_tokens_whatever_the_tile(rows, device):
    given = inputs(device)
    whole = gradients(embedding_triton, given, gradient(given), **dropping(device))
    tiles = (
        launches.launch(name, size=32, dtype=torch.float32, device=torch.device("cpu"))
        for name in ("embedding.forward", "embedding.backward")
    )
    with launches.replaced(
        *(dataclasses.replace(t, blocks={**t.blocks, "BLOCK_R": rows}) for t in tiles)
    ):
        shared = gradients(embedding_triton, given, gradient(given), **dropping(device))
    assert torch.equal(shared["y"], whole["y"])
    for name, value in whole.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-5, atol=1e-5)


def smaller(chunk, step):
    """The rows of the launch table for the two kernels, with chunks of this length."""
    for kernel, blocks in (("sum", {"BLOCK_R": chunk}), ("join", {"BLOCK_C": step})):
        row = launches.launch(
            f"embedding.backward_{kernel}",
            size=256,
            dtype=torch.float32,
            device=torch.device("cpu"),
        )
        yield dataclasses.replace(row, blocks={**row.blocks, **blocks, "BLOCK_N": 16})


@OPS
def test_the_padding_word_gets_no_gradient_and_the_others_theirs(op, device):
    given = inputs(device)
    given["tokens"][::3] = 5
    plain = gradients(op, given, gradient(given))
    padded = gradients(op, given, gradient(given), padding_idx=5)
    assert plain["words"][5].any()
    plain["words"][5] = 0.0
    same(padded, plain)


@OPS
@pytest.mark.parametrize("segments", [1, 2, 3])
def test_every_number_of_segments_is_summed(op, segments, device):
    given = inputs(device, tokens=40, segments=segments)
    got = gradients(op, given, gradient(given), **dropping(device))
    expected = gradients(embedding_reference, given, gradient(given), **dropping(device))
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-5, atol=3e-5)


def test_in_the_widest_rows_segments_are_summed_like_other_tables(device, monkeypatch):
    given = inputs(device)
    narrow = gradients(embedding_triton, given, gradient(given))
    module = embedding_triton.__globals__
    monkeypatch.setitem(module, "WIDEST_WITH_SEGMENTS", WIDTH - 1)
    wide = gradients(embedding_triton, given, gradient(given))
    for name, value in narrow.items():
        torch.testing.assert_close(wide[name], value, rtol=1e-5, atol=1e-5)


def test_what_is_frozen_is_not_computed(device, monkeypatch):
    given = inputs(device)
    grad = gradient(given)
    expected = gradients(embedding_triton, given, grad)
    # Neither the norm's weights nor two segments need the kernels that go over the sorted ids.
    monkeypatch.setitem(embedding_triton.__globals__, "_sum_chunks_kernel", None)
    for name in ("weight", "bias", "segment_table"):
        leaf = given[name].clone().requires_grad_()
        y = embedding_triton(**(given | {name: leaf}))
        assert torch.equal(torch.autograd.grad(y, leaf, grad)[0], expected[name])


def test_a_frozen_table_among_others(device):
    given = inputs(device)
    grad = gradient(given)
    expected = gradients(embedding_triton, given, grad)
    for name in TABLES:
        leaf = given[name].clone().requires_grad_()
        y = embedding_triton(**(given | {name: leaf}))
        assert torch.equal(torch.autograd.grad(y, leaf, grad)[0], expected[name])


# Layouts and dtypes


@OPS
def test_ids_of_32_and_64_bits_and_strided_ones_are_the_same(op, device):
    given = inputs(device)
    expected = gradients(op, given, gradient(given))
    names = ("tokens", "positions", "segments")
    same(gradients(op, given | {n: given[n].long() for n in names}, gradient(given)), expected)
    strided = {n: torch.stack((given[n], given[n] - 1000), 1)[:, 0] for n in names}
    same(gradients(op, given | strided, gradient(given)), expected)


def test_strided_tables_and_what_lies_between_their_rows(device):
    given = inputs(device)
    expected = gradients(embedding_triton, given, gradient(given))
    views = {}
    for name in TABLES:
        around = given[name].new_full((given[name].shape[0] + 2, WIDTH + 9), float("nan"))
        around[1:-1, 4:-5] = given[name]
        views[name] = around[1:-1, 4:-5]
    same(gradients(embedding_triton, given | views, gradient(given)), expected)
    transposed = {name: given[name].t().contiguous().t() for name in TABLES}
    same(gradients(embedding_triton, given | transposed, gradient(given)), expected)


@OPS
def test_expanded_and_strided_gradients(op, device):
    given = inputs(device)
    wide = torch.full((TOKENS, 3 * WIDTH), float("nan"), device=device)
    wide[:, WIDTH : 2 * WIDTH] = 2.0
    row = torch.arange(float(WIDTH), device=device)
    one = torch.ones((), device=device)
    for grad in (one.expand(TOKENS, WIDTH), wide[:, WIDTH : 2 * WIDTH], row.expand(TOKENS, WIDTH)):
        same(gradients(op, given, grad), gradients(op, given, grad.contiguous()))


@OPS
def test_no_token_at_all(op, device):
    given = inputs(device, tokens=0)
    got = gradients(op, given, gradient(given), **dropping(device))
    assert got.pop("y").shape == (0, WIDTH)
    assert not any(value.any() for value in got.values())


@OPS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_autocast_chooses_the_dtype_of_the_result_alone(op, dtype, device):
    given = inputs(device)
    grad = gradient(given)
    plain = gradients(op, given, grad.to(dtype).float())
    with torch.autocast(torch.device(device).type, dtype):
        got = gradients(op, given, grad)
    assert got["y"].dtype == dtype
    # To a whole ulp: the interpreter cuts bf16 off, a GPU rounds it.
    torch.testing.assert_close(got.pop("y").float(), plain.pop("y"), rtol=2**-7, atol=1e-3)
    for name, value in plain.items():
        torch.testing.assert_close(got[name], value, rtol=1e-5, atol=1e-5)


@OPS
def test_results_keep_the_dtypes_of_their_inputs(op, device):
    given = inputs(device, dtype=torch.float16)
    given["weight"], given["bias"] = given["weight"].float(), given["bias"].float()
    got = gradients(op, given, gradient(given))
    expected = dict.fromkeys(("y", *TABLES), torch.float16)
    expected |= dict.fromkeys(("weight", "bias"), torch.float32)
    assert {name: value.dtype for name, value in got.items()} == expected


@OPS
def test_two_runs_give_the_same_bits_and_leave_the_inputs_alone(op, device):
    given = inputs(device, tokens=70)
    before = {name: t.clone() for name, t in given.items()}
    first, second = (gradients(op, given, gradient(given), **dropping(device)) for _ in range(2))
    same(first, second)
    same(given, before)


@OPS
def test_accumulated_gradients_share_no_memory(op, device):
    given = inputs(device)
    grad = gradient(given)
    leaves = {n: t.requires_grad_() for n, t in given.items() if t.is_floating_point()}
    for _ in range(2):
        op(**given).backward(grad)
    once = gradients(op, given, grad)
    for name, leaf in leaves.items():
        torch.testing.assert_close(leaf.grad, 2 * once[name], rtol=1e-5, atol=1e-5)


def test_the_operators_take_strided_inputs(device):
    given = inputs(device, tokens=6)
    gathered = [
        given[name]
        for name in ("tokens", "words", "positions", "position_table", "segments", "segment_table")
    ]
    gathered[0] = torch.stack((gathered[0], gathered[0]), 1)[:, 0]
    gathered[1] = gathered[1].t().contiguous().t()
    weight, bias, seed = given["weight"], given["bias"], torch.tensor([1], device=device)
    arguments = (*gathered, weight, bias, seed, 1e-12, 0.1, torch.float16)
    torch.library.opcheck(embedding_fwd, arguments)
    _, mean, rstd = embedding_fwd(*arguments)
    transposed = gradient(given).t().contiguous().t()
    for dy in (transposed, transposed[:1].expand(6, WIDTH)):
        flags = (0.1, True, 2, True)
        torch.library.opcheck(embedding_bwd, (dy, *gathered, weight, seed, mean, rstd, *flags))
    torch.library.opcheck(embedding_table_bwd, (dy.contiguous(), gathered[0], WORDS, -1))


# torch 2.13 (2026): Dynamo itself makes an instance of every autograd.Function that it traces.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_inside_autocast_with_dropout(dynamic, device):
    def call(**given):
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            return embedding_triton(**given)

    given = inputs(device)
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    got = gradients(compiled, given, gradient(given), **dropping(device))
    assert got["y"].dtype == torch.bfloat16
    same(got, gradients(call, given, gradient(given), **dropping(device)))


def test_a_second_derivative_raises(device):
    given = inputs(device)
    given["words"].requires_grad_()
    loss = embedding_triton(**given).square().sum()
    (dwords,) = torch.autograd.grad(loss, given["words"], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dwords.sum().backward()


# Arguments


@OPS
def test_wrong_arguments_are_named(op):
    given = inputs("cpu")
    seed = torch.tensor([1])

    def change(**changed):
        return lambda: op(**(given | changed))

    for match, call in {
        r"words must be floating point \[V, N\]": change(words=given["words"].int()),
        r"tokens must be int32 or int64 \[T\], got torch.int16": change(
            tokens=given["tokens"].short()
        ),
        r"got torch.int32 \[1, 17\]": change(tokens=given["tokens"].view(1, -1)),
        "positions and position_table must come together": change(positions=None),
        "segments and segment_table must come together": change(segment_table=None),
        r"positions must be int32 or int64 \[17\]": change(positions=given["positions"][:3]),
        r"position_table must be torch.float32 \[rows, 24\]": change(
            position_table=given["position_table"][:, :8]
        ),
        r"segment_table must be torch.float32 \[rows, 24\], got torch.float16": change(
            segment_table=given["segment_table"].half()
        ),
        r"weight must be torch.float32 \[24\], got torch.float32 \[7\]": change(
            weight=given["weight"][:7]
        ),
        r"bias must be torch.float32 \[24\], got torch.float16": change(bias=given["bias"].half()),
        "weight must be floating point": change(weight=given["weight"].int(), bias=None),
        "segments is on meta, words on cpu": change(segments=given["segments"].to("meta")),
        "padding_idx 20 is no row of 20": change(padding_idx=20),
        "padding_idx -1": change(padding_idx=-1),
        "at least 0 and below 1": change(dropout=1.0, seed=seed),
        "needs a seed": change(dropout=0.1),
        "int64": change(dropout=0.1, seed=seed.int()),
    }.items():
        with pytest.raises(ValueError, match=match) as error:
            call()
        assert str(error.value).startswith("embedding: ")
        assert "\n" not in str(error.value)


def test_the_kernel_names_what_it_cannot_do():
    tokens, words = torch.zeros(1, dtype=torch.int64), torch.zeros(2, 8193)
    with pytest.raises(ValueError, match="width 8193 is above the kernel's 8192"):
        embedding_triton(tokens, words, weight=words[0])
    with use(embedding="triton"):
        with pytest.raises(ValueError, match="8193 does not fit"):
            embedding(tokens, words, weight=words[0])
        with pytest.raises(ValueError, match="float64"):
            embedding(tokens, words[:, :8].double(), weight=words[0, :8].double())


def test_on_a_cpu_the_reference_runs():
    given = inputs("cpu")
    expected = embedding_reference(**given, **dropping("cpu"))
    assert torch.equal(embedding(**given, **dropping("cpu")), expected)
