"""A language plan as a table: what is read of each language, and how often."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from kobert_kit.batches.language_plan import LanguagePlan
from kobert_kit.batches.options import Phase
from kobert_kit.corpus.shards import Manifest
from kobert_kit.settings_file import check_key, read_toml
from kobert_vocab.errors import InputError

# BERT read its 3.3 billion words about 40 times (Devlin et al. 2019, appendix A.2).
OFTEN = 40


def read_phases(path: Path) -> list[Phase]:
    """The phases of a TOML file: one ``[[phase]]`` after another.

    Raises:
        InputError: the file is missing or not TOML, or has other keys than a `Phase`.
    """
    table = read_toml(path)
    rows = table.pop("phase", None)
    if table or not isinstance(rows, list):
        raise InputError(f"{path}: a plan is made of [[phase]] tables and nothing else")
    return [_phase(row, path) for row in rows]


def _phase(row: dict[str, Any], path: Path) -> Phase:
    known = [one.name for one in fields(Phase)]
    for key in row:
        check_key(key, known, path, " in [[phase]]")
    if isinstance(row.get("languages"), list):
        row = row | {"languages": tuple(row["languages"])}
    return Phase(**row)


def plan_table(manifest: Manifest, phases: Sequence[Phase], length: int) -> str:
    """The plan as text: of each language its tokens, shares, and what is read of it.

    A last phase without an end is taken to read as many tokens as there are.

    Raises:
        InputError: the phases do not fit the corpus.
    """
    tokens = {code: counts.tokens for code, counts in manifest.languages.items()}
    last = phases[-1].windows or sum(tokens.values()) // length + 1
    phases = [*phases[:-1], replace(phases[-1], windows=last)]
    plan = LanguagePlan(tokens, phases, length)
    total = sum(phase.windows or 0 for phase in phases[:-1]) + last
    windows = plan.windows(total)
    return "\n".join(_lines(tokens, plan, windows, length, len(phases))) + "\n"


def _lines(
    tokens: dict[str, int], plan: LanguagePlan, windows: dict[str, int], length: int, phases: int
) -> Iterator[str]:
    total, all_windows = sum(tokens.values()), sum(windows.values())
    names = "".join(f"{f'phase {i + 1}':>9}" for i in range(phases))
    yield f"{'language':<10}{'tokens':>16}{'of text':>9}{names}{'tokens read':>16}{'epochs':>9}"
    shares = [plan.shares(phase) for phase in range(phases)]
    often = []
    for code in sorted(tokens, key=lambda code: (-windows[code], code)):
        read = windows[code] * length
        epochs = read / tokens[code]
        often += [code] if epochs > OFTEN else []
        planned = "".join(f"{share[code]:>9.2%}" for share in shares)
        yield (
            f"{code:<10}{tokens[code]:>16,}{tokens[code] / total:>9.2%}{planned}"
            f"{read:>16,}{epochs:>9.2f}{'  !' if epochs > OFTEN else ''}"
        )
    read = all_windows * length
    yield f"{len(tokens)} languages: {read:,} tokens in {all_windows:,} windows of {length}"
    if often:
        shown = ", ".join(often[:10]) + (" ..." if len(often) > 10 else "")
        yield (
            f"! read more than {OFTEN} times, which is how often BERT read its text: {shown}; "
            "raise alpha, or set --most-epochs"
        )
