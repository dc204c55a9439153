"""Languages as a reader knows them."""

from kobert_vocab.languages import languages


def language_name(code: str) -> str:
    """The English name of a language, or of none."""
    known = languages().get(code)
    return known.name if known else "no known language"
