"""The templates of this folder."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """Strict, and with everything from text or a vocabulary escaped."""
    return Environment(
        loader=PackageLoader("kobert_vocab.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
