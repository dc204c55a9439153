"""``kobert demo``."""

from pathlib import Path


def demo(*, out: Path = Path("demo")) -> None:
    """All stages on the bundled sample: a report, filled masks, a loadable model.

    Args:
        out: Folder to make.
    """
    from kobert_kit.demo import run_demo

    run_demo(out)
