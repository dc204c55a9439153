"""The comparison of vocabularies, and the page that a vocabulary folder has of itself."""

from kobert_vocab.report.card import write_card_page
from kobert_vocab.report.compare import Comparison, as_json, compare
from kobert_vocab.report.page import write_page
from kobert_vocab.report.table import render

__all__ = ["Comparison", "as_json", "compare", "render", "write_card_page", "write_page"]
