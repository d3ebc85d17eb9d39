"""VVC (H.266): the decoder configuration record.

Sources: ISO/IEC 14496-15:2022, 11.2.4.2 (VvcDecoderConfigurationRecord, VvcPTLRecord); ITU-T H.266,
Annex A (profiles and levels).
"""

from __future__ import annotations

from typing import Final

from ..errors import MediaError
from .bits import MAX_HEADER_BYTES, BitReader
from .facts import Facts, framerate

_FULL_BOX_HEADER_BYTES: Final = 4
_AVERAGE_RATE_UNITS: Final = 256

_PROFILES: Final = {
    1: "main 10",
    2: "main 12",
    10: "main 12 intra",
    17: "multilayer main 10",
    33: "main 10 4:4:4",
    34: "main 12 4:4:4",
    36: "main 16 4:4:4",
    42: "main 12 4:4:4 intra",
    44: "main 16 4:4:4 intra",
    49: "multilayer main 10 4:4:4",
    65: "main 10 still picture",
    66: "main 12 still picture",
    97: "main 10 4:4:4 still picture",
    98: "main 12 4:4:4 still picture",
    100: "main 16 4:4:4 still picture",
}


def read_config(data: bytes) -> Facts:
    """What a VvcDecoderConfigurationRecord says; nothing if it has no profile, tier and level. The
    version and flags of the file format's box may stand before it.
    Raises MediaError: ``truncated`` or ``version``."""
    data = data[:MAX_HEADER_BYTES]
    if data[:_FULL_BOX_HEADER_BYTES] == bytes(_FULL_BOX_HEADER_BYTES):
        data = data[_FULL_BOX_HEADER_BYTES:]
    bits = BitReader(data)
    if bits.read(5) != 0x1F:
        raise MediaError("this is not a VVC configuration", "version")
    bits.skip(2)  # LengthSizeMinusOne
    if not bits.flag():
        return Facts()
    bits.skip(9)  # ols_idx
    sub_layers = bits.read(3)
    bits.skip(4)  # constant_frame_rate, chroma_format_idc
    bit_depth = 8 + bits.read(3)
    bits.skip(5)
    profile_idc, level_idc = _profile_tier_level(bits, sub_layers)
    width, height = bits.read(16), bits.read(16)
    return Facts(
        profile=_PROFILES.get(profile_idc),
        level=level_name(level_idc),
        width=width or None,
        height=height or None,
        framerate=framerate(bits.read(16), _AVERAGE_RATE_UNITS),
        bit_depth=bit_depth,
    )


def level_name(level_idc: int) -> str | None:
    """general_level_idc is sixteen times the major and three times the minor number (A.4.1)."""
    return f"{level_idc // 16}.{level_idc % 16 // 3}" if level_idc else None


def _profile_tier_level(bits: BitReader, sub_layers: int) -> tuple[int, int]:
    """Return profile_idc and level_idc of a VvcPTLRecord."""
    bits.skip(2)
    constraint_bytes = bits.read(6)
    profile_idc = bits.read(7)
    bits.skip(1)  # general_tier_flag
    level_idc = bits.read(8)
    bits.skip(8 * max(1, constraint_bytes))  # the first two bits are flags of their own
    if sub_layers > 1:
        present = bits.read(8)  # sub-layers from the top down, then reserved bits
        bits.skip(8 * (present >> (9 - sub_layers)).bit_count())
    bits.skip(32 * bits.read(8))  # sub-profiles
    return profile_idc, level_idc
