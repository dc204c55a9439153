"""Where the documents of a batch lie, read once from what a model was called with.

A batch is padded (a mask says which tokens are real), packed (a row holds several documents, and
the positions begin anew with each, or bounds are given), or both: packed rows that end in padding.
`transformers` itself reads packing in its FlashAttention path alone: its sdpa and eager attention
let the documents of a row see each other, without a word.

Legend: B rows of T tokens, N of them in documents, S documents, H heads, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from kobert_vocab.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The documents of B rows of T tokens."""

    places: Tensor | None
    """int64 [N], which of the B * T tokens are in documents; None where all are."""
    cu_seqlens: Tensor
    """int32 [S+1], where each document begins among the N tokens."""
    max_seqlen: int
    """Tokens of the longest document."""
    whole: bool
    """No document has a hole, so that two of its tokens are as far apart as in their row."""

    def end_to_end(self, x: Tensor) -> Tensor:
        """The tokens of documents, [N, H, D], of [B, H, T, D]."""
        tokens = x.transpose(1, 2).flatten(0, 1)
        return tokens if self.places is None else tokens.index_select(0, self.places)

    def in_rows(self, x: Tensor, rows: int, length: int) -> Tensor:
        """[N, H, D] as B rows of T again, [B, T, H, D]; 0 outside of documents."""
        if self.places is not None:
            x = x.new_zeros(rows * length, *x.shape[1:]).index_copy(0, self.places, x)
        return x.view(rows, length, *x.shape[1:])


def layout_of(
    rows: int,
    length: int,
    device: torch.device,
    *,
    mask: Tensor | None = None,
    positions: Tensor | None = None,
) -> Layout:
    """The layout of B rows of T tokens, by their mask and positions.

    A document ends with its row, and where positions go back to the row's first. On a GPU this
    waits for the device, once for each forward pass.

    Args:
        rows: B.
        length: T.
        device: of the result.
        mask: [B, T], not 0 where a token is real; all are if not given.
        positions: int [B, T] or [1, T]; one document in each row if not given.

    Raises:
        InputError: mask or positions are not of these shapes, or positions go on otherwise than by
            one up or back to the row's first.
    """
    places = None if mask is None else _real(mask, rows, length, device)
    place = torch.arange(rows * length, device=device) if places is None else places
    if place.numel() == 0:
        bounds = torch.zeros(1, dtype=torch.int32, device=device)
        return Layout(places=places, cu_seqlens=bounds, max_seqlen=0, whole=True)
    row = place // length
    begins = torch.ones_like(row, dtype=torch.bool)
    begins[1:] = row[1:] != row[:-1]
    if positions is not None:
        begins = begins | _restarts(_spread(positions, rows, length, device)[place], begins, place)
    end = torch.tensor([place.numel()], device=device)
    bounds = torch.cat((begins.nonzero()[:, 0], end))
    sizes = bounds.diff()
    spans = place[bounds[1:] - 1] - place[bounds[:-1]] + 1
    longest, holes = torch.stack((sizes.max(), (spans - sizes).max())).tolist()
    return Layout(places=places, cu_seqlens=bounds.int(), max_seqlen=longest, whole=holes == 0)


def layout_by_bounds(
    rows: int, length: int, device: torch.device, *, bounds: Tensor, positions: Tensor | None
) -> Layout:
    """The layout of one row of T tokens, of which document s has those from bounds[s] on.

    Args:
        rows: 1.
        length: T.
        device: of the result.
        bounds: int [S+1], from 0, never falling, to T at most; tokens after the last are in no
            document.
        positions: int [1, T], which begin anew with each document: to know what the model will.

    Raises:
        InputError: there are several rows, the bounds are others, or positions run on.
    """
    if rows != 1:
        raise InputError(f"cu_seq_lens_q is for one row of documents, not for {rows}")
    if bounds.dim() != 1 or bounds.is_floating_point():
        raise InputError(
            f"cu_seq_lens_q is {bounds.dtype} {list(bounds.shape)}; give whole numbers [S+1], "
            "where each document begins and the last one ends"
        )
    host = bounds.tolist()
    sizes = [end - start for start, end in pairwise(host)]
    if host[:1] != [0] or min(sizes, default=0) < 0 or host[-1] > length:
        raise InputError(f"cu_seq_lens_q must rise from 0 to {length} at most, got {_short(host)}")
    if positions is None:
        raise InputError(
            "cu_seq_lens_q without position_ids: positions would run on from document to document; "
            "give position_ids that begin anew with each (kobert_kit.drop_in.packed makes both)"
        )
    row = _spread(positions, rows, length, device)
    first = row[[start for start, size in zip(host[:-1], sizes, strict=True) if size > 0]].tolist()
    if len(set(first)) > 1:
        raise InputError(
            "position_ids must begin anew with each document of cu_seq_lens_q: "
            f"the documents begin at {_short(first)}"
        )
    return Layout(
        places=None,
        cu_seqlens=bounds.to(device=device, dtype=torch.int32),
        max_seqlen=max(sizes, default=0),
        whole=True,
    )


def _real(mask: Tensor, rows: int, length: int, device: torch.device) -> Tensor | None:
    """The places that a mask leaves; None where it leaves all."""
    if mask.shape != (rows, length):
        raise InputError(
            f"attention_mask is {list(mask.shape)}, must be [{rows}, {length}] with a 1 for each "
            "token to be read: a mask of pairs of tokens has no place here; documents of one row "
            "are kept apart by position_ids that begin anew with each"
        )
    places = mask.to(device).flatten().nonzero()[:, 0]
    return None if places.numel() == rows * length else places


def _spread(positions: Tensor, rows: int, length: int, device: torch.device) -> Tensor:
    """[B * T]."""
    if positions.shape not in ((rows, length), (1, length)):
        raise InputError(
            f"position_ids are {list(positions.shape)}, must be [{rows}, {length}] or [1, {length}]"
        )
    return positions.to(device).expand(rows, length).flatten()


def _restarts(position: Tensor, begins: Tensor, place: Tensor) -> Tensor:
    """Which of N tokens do not go on from the one before but begin anew: bool [N].

    Args:
        position: [N].
        begins: bool [N], the first token of each row.
        place: [N], for the message.
    """
    jumps = torch.zeros_like(begins)
    jumps[1:] = position[1:] != position[:-1] + 1
    home = position[begins][begins.cumsum(0) - 1]
    strange = (jumps & (position != home)).nonzero()[:, 0]
    if strange.numel() > 0:
        token = int(strange[0])
        before, here, first = (int(p) for p in (position[token - 1], position[token], home[token]))
        raise InputError(
            f"position_ids go from {before} to {here} at token {int(place[token])} of the batch: "
            f"they may rise by 1, or go back to {first}, where their row began, for a new document"
        )
    return jumps


def _short(numbers: Sequence[int]) -> str:
    """The first few of them."""
    shown = ", ".join(map(str, numbers[:8]))
    return f"{shown}, ..." if len(numbers) > 8 else shown
