"""The pieces that stand for no text, in the order of their ids."""

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
NAMED = (PAD, UNK, CLS, SEP, MASK)  # ids 0 to 4
BYTES = 256  # pieces <0x00> to <0xFF> follow the unused ones


def unused_pieces(count: int) -> list[str]:
    """``[unused0]`` and so on: ids to give words of one's own a place."""
    return [f"[unused{i}]" for i in range(count)]
