"""``kobert demo``."""

from pathlib import Path


def demo(*, out: Path = Path("demo"), steps: int = 3_600) -> None:
    """All stages on the bundled sample: a report, filled masks, a loadable model.

    Args:
        out: Folder to make.
        steps: Of pretraining; fewer are quicker, and their masks worse.
    """
    from kobert_kit.demo import run_demo

    run_demo(out, steps=steps)
