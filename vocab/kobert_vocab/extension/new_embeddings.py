"""Where the embeddings of new pieces begin: at the mean of the old pieces they replace.

That is Fast Vocabulary Transfer (Gee et al., EMNLP 2022 Industry Track): a new piece gets the
average of the embeddings of the pieces that the old tokenizer cuts it into. A piece of which the
old tokenizer knows nothing gets the mean of all learnt embeddings, which bounds how far the model's
predictions move (Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models").

Shapes: n old pieces, m new ones, d dimensions.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kobert_vocab.disk_errors import errors_of_the_disk
from kobert_vocab.errors import InputError

FILE = "embeddings.safetensors"


def write_rows(rows: Sequence[Sequence[int]], learnt: npt.NDArray[np.bool_], folder: Path) -> None:
    """Write the matrix [m, n] that makes new embeddings of old ones, as ``embeddings.safetensors``.

    It is in CSR form: ``crow_indices`` [m + 1] and ``col_indices`` int64, ``values`` float32, the
    shape in the metadata. The values of a row add up to 1. A row without values stands for the mean
    over ``learnt`` [n], which lies beside it, so that it need not be written out per row.

    Args:
        rows: for each new piece the old ids it was cut into; none if nothing of it was known.
        learnt: for each old id whether its embedding stands for text. [n].
        folder: where to write.
    """
    from safetensors.numpy import save_file

    columns, values, ends = [], [], [0]
    for row in rows:
        ids, counts = np.unique(np.array(row, dtype=np.int64), return_counts=True)
        columns.append(ids)
        values.append((counts / max(1, len(row))).astype(np.float32))
        ends.append(ends[-1] + len(ids))
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "crow_indices": np.array(ends, dtype=np.int64),
        "col_indices": np.concatenate(columns),
        "values": np.concatenate(values),
        "learnt": learnt,
    }
    with errors_of_the_disk(folder / FILE):
        save_file(tensors, folder / FILE, metadata={"shape": f"{len(rows)},{len(learnt)}"})


def new_embeddings(folder: str | Path, old: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """The embeddings of an extended vocabulary. [n + m, d], or [n + m], in the type of ``old``.

    The old ones come first and unchanged. The bias of a masked-language head is a vector of one
    number per piece and is treated in the same way; output weights that are tied to the
    embeddings need nothing, others are a matrix like them.

    >>> new = new_embeddings("mbert-ko", model.bert.embeddings.word_embeddings.weight.numpy())
    ... # doctest: +SKIP

    Args:
        folder: what `kobert_vocab.extension.extend.extend` wrote.
        old: the embeddings [n, d], or biases [n], of the base model.

    Raises:
        InputError: ``folder`` is no extension, or ``old`` is not of its base.
    """
    crow, columns, values, learnt = _read(Path(folder))
    if old.ndim not in (1, 2) or len(old) != len(learnt):
        raise InputError(
            f"{folder}: made for a base of {len(learnt)} pieces, but the old array is "
            f"{list(old.shape)}; give [{len(learnt)}, d] or [{len(learnt)}], without padded rows"
        )
    if not np.issubdtype(old.dtype, np.floating):
        raise InputError(f"the old array is of {old.dtype}; give float16, float32 or float64")
    mean = old[learnt].mean(axis=0, dtype=np.float64)
    new = np.empty((len(crow) - 1, *old.shape[1:]), dtype=old.dtype)
    for i in range(len(new)):
        span = slice(crow[i], crow[i + 1])
        weights, pieces = values[span].astype(np.float64), old[columns[span]].astype(np.float64)
        new[i] = weights @ pieces if len(weights) else mean
    return np.concatenate([old, new])


def old_pieces(folder: str | Path) -> int:
    """How many pieces the base of an extension has.

    Raises:
        InputError: ``folder`` is no extension.
    """
    *_, learnt = _read(Path(folder))
    return len(learnt)


def _read(
    folder: Path,
) -> tuple[
    npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.bool_]
]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / FILE
    if not path.is_file():
        raise InputError(
            f"{folder}: not an extension (no {FILE} in it); make one with: kobert vocab extend"
        )
    try:
        tensors = load_file(path)
        return (
            *(tensors["crow_indices"], tensors["col_indices"]),
            *(tensors["values"], tensors["learnt"]),
        )
    except (SafetensorError, KeyError) as error:
        raise InputError(f"{path}: not a matrix of this kit; extend the base again") from error
