"""From a SentencePiece model to a vocabulary folder with the same ids."""

import hashlib
import json
from pathlib import Path

from kobert_vocab.card import versions
from kobert_vocab.conversion.fast_tokenizer import fast_tokenizer
from kobert_vocab.conversion.model import SentencePieceModel, read_model
from kobert_vocab.conversion.source import ConversionSource, open_source
from kobert_vocab.conversion.specials import find_layout
from kobert_vocab.errors import InputError
from kobert_vocab.export import LONGEST_INPUT, write_tokenizer_config
from kobert_vocab.id_layout import IdLayout, Style
from kobert_vocab.new_folder import new_folder, refuse_existing
from kobert_vocab.selftest import write_selftest
from kobert_vocab.verify import verify
from kobert_vocab.vocabulary import CARD, CONVERTED, MODEL, Vocabulary

_NO_LIMIT = 10**6  # transformers writes 10^30 for a model whose longest input it does not know


def convert(source: str | Path, out: str | Path, *, style: Style | None = None) -> IdLayout:
    """Write ``out``, which `transformers` loads as a fast tokenizer with the ids of SentencePiece.

    The SentencePiece model is copied as it is. The folder appears only when both have given the
    same ids for all hard texts (`kobert_vocab.verify`).

    Args:
        source: a ``.model`` file, or a model's folder with one in it. From a folder the settings
            are read as well: which pieces are special, and how many ids the model has.
        out: folder to make.
        style: of the ids and of pairs, where the source does not tell.

    Returns:
        The ids of all pieces.

    Raises:
        InputError: no SentencePiece model, one that cannot be followed exactly, or one whose ids
            do not fit the settings beside it.
    """
    out = Path(out)
    refuse_existing(out)
    found = open_source(Path(source))
    model = read_model(found.model)
    layout = find_layout(model, found, style)
    with new_folder(out) as folder:
        try:
            fast = fast_tokenizer(model, layout)
        except InputError as error:
            raise InputError(f"{found.model}: {error}") from error
        fast.save(str(folder / "tokenizer.json"))
        (folder / MODEL).write_bytes(model.content)
        write_tokenizer_config(folder, _settings(layout, found))
        _write_card(folder, model, layout)
        write_selftest(Vocabulary.load(folder), folder)
        verify(folder)
    return layout


def _settings(layout: IdLayout, source: ConversionSource) -> dict[str, object]:
    """What ``tokenizer_config.json`` says otherwise than that of a vocabulary of ours."""
    settings: dict[str, object] = {f"{key}_token": name for key, name in layout.names.items()}
    settings["model_max_length"] = _longest(layout, source)
    if layout.template == "roberta":
        settings |= {"bos_token": layout.cls, "eos_token": layout.sep}
        settings["model_input_names"] = ["input_ids", "attention_mask"]
    if layout.template == "xlnet":
        settings["padding_side"] = "left"
    return settings


def _longest(layout: IdLayout, source: ConversionSource) -> int:
    """Tokens of the longest input."""
    given = source.tokenizer.get("model_max_length")
    if isinstance(given, int) and given < _NO_LIMIT:
        return given
    positions = source.config.get("max_position_embeddings")
    if not isinstance(positions, int):
        return LONGEST_INPUT
    # Positions of the RoBERTa family begin behind the id of the padding.
    return positions - layout.id_of(layout.pad) - 1 if layout.template == "roberta" else positions


def _write_card(folder: Path, model: SentencePieceModel, layout: IdLayout) -> None:
    card = {
        CONVERTED: {
            "style": layout.style,
            "names": layout.names,
            "type": model.kind,
            "sha256": hashlib.sha256(model.content).hexdigest(),
        },
        "normalizer": {"rules": model.rules},
        "versions": versions(),
    }
    content = json.dumps(card, ensure_ascii=False, indent=2) + "\n"
    (folder / CARD).write_text(content, encoding="utf-8")
