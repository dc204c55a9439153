"""``python -m kobert_kit`` is ``kobert``."""

from kobert_kit.cli import main

main()
