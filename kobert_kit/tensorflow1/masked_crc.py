"""The checksum of LevelDB and TensorFlow: CRC-32C (Castagnoli), masked."""

import google_crc32c

# Rotated and moved: a checksum of bytes that hold their checksum is a weak one (LevelDB, crc32c.h).
_MOVED = 0xA282EAD8


def masked_crc(data: bytes) -> int:
    """The checksum of ``data`` as the files have it, below 2**32."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MOVED) & 0xFFFFFFFF
