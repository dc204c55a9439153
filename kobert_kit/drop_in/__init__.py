"""Our kernels in stock models of `transformers`, by one call."""

from kobert_kit.drop_in.leak import leak
from kobert_kit.drop_in.model import FAMILIES, use_kobert_kernels
from kobert_kit.drop_in.packed import packed

__all__ = ["FAMILIES", "leak", "packed", "use_kobert_kernels"]
