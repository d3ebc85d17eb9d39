"""What the video usability information of AVC and HEVC begins with.

Source: ITU-T H.264, Annex E, table E-1; the same in ITU-T H.265 and ITU-T H.273.
"""

from __future__ import annotations

from typing import Final

from .bits import BitReader

_RATIOS: Final = (
    None, (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11), (80, 33), (18, 11), (15, 11),
    (64, 33), (160, 99), (4, 3), (3, 2), (2, 1),
)  # fmt: skip
_EXTENDED: Final = 255


def aspect_ratio(bits: BitReader) -> tuple[int, int] | None:
    """Reads aspect_ratio_info_present_flag and what follows from it; None if it is unspecified.
    Raises MediaError ``truncated``."""
    if not bits.flag():
        return None
    code = bits.read(8)
    if code == _EXTENDED:
        width, height = bits.read(16), bits.read(16)
        return (width, height) if width and height else None
    return _RATIOS[code] if code < len(_RATIOS) else None
