"""VP8 and VP9: the codec configuration record, and the headers of keyframes, which hold the size.

Sources: VP Codec ISO Media File Format Binding (vpcC); RFC 6386, 9.1 (VP8 frame header); VP9
Bitstream and Decoding Process Specification, 6.2 (uncompressed header) and 7.2.
"""

from __future__ import annotations

from typing import Final

from ..errors import MediaError
from .bits import BitReader
from .facts import Facts

_CONFIG_BYTES: Final = 8
_FULL_BOX_HEADER: Final = b"\x01\x00\x00\x00"

_VP8_HEADER_BYTES: Final = 10
_VP8_START_CODE: Final = b"\x9d\x01\x2a"
_VP8_MAX_VERSION: Final = 3
_SIZE_MASK: Final = 0x3FFF  # the two bits above are a hint for scaling

_VP9_HEADER_BYTES: Final = 16
_VP9_FRAME_MARKER: Final = 2
_VP9_SYNC_CODE: Final = 0x498342
_SRGB: Final = 7


def read_config(data: bytes) -> Facts:
    """What a VPCodecConfigurationRecord says, which is not the size. The version and flags of the
    file format's box may stand before it. Raises MediaError ``truncated``."""
    if data[:4] == _FULL_BOX_HEADER and len(data) >= len(_FULL_BOX_HEADER) + _CONFIG_BYTES:
        data = data[len(_FULL_BOX_HEADER) :]
    if len(data) < _CONFIG_BYTES:
        raise MediaError(f"a VP8 or VP9 configuration of {len(data)} bytes", "truncated")
    level = f"{data[1] // 10}.{data[1] % 10}" if data[1] else None
    return Facts(profile=f"profile {data[0]}", level=level, bit_depth=data[2] >> 4 or None)


def read_vp8_frame(data: bytes) -> Facts:
    """What the header of a VP8 keyframe says. Raises MediaError ``truncated`` or ``not_a_keyframe``."""
    if len(data) < _VP8_HEADER_BYTES:
        raise MediaError(f"a VP8 keyframe of {len(data)} bytes", "truncated")
    if data[0] & 1 or data[3:6] != _VP8_START_CODE:
        raise MediaError("this is not a VP8 keyframe", "not_a_keyframe")
    version = data[0] >> 1 & 7
    return Facts(
        profile=f"profile {version}" if version <= _VP8_MAX_VERSION else None,
        width=int.from_bytes(data[6:8], "little") & _SIZE_MASK or None,
        height=int.from_bytes(data[8:10], "little") & _SIZE_MASK or None,
    )


def read_vp9_frame(data: bytes) -> Facts:
    """What the uncompressed header of a VP9 keyframe says.
    Raises MediaError ``truncated`` or ``not_a_keyframe``."""
    bits = BitReader(data[:_VP9_HEADER_BYTES])
    marker, low, high = bits.read(2), bits.read(1), bits.read(1)
    profile = high << 1 | low
    if profile == 3:
        bits.skip(1)
    shows_existing, is_interframe = bits.flag(), bits.flag()
    bits.skip(2)  # show_frame, error_resilient_mode
    if marker != _VP9_FRAME_MARKER or shows_existing or is_interframe or bits.read(24) != _VP9_SYNC_CODE:
        raise MediaError("this is not a VP9 keyframe", "not_a_keyframe")
    bit_depth = (12 if bits.flag() else 10) if profile >= 2 else 8
    if bits.read(3) != _SRGB:
        bits.skip(4 if profile & 1 else 1)  # color_range; subsampling and a reserved bit
    elif profile & 1:
        bits.skip(1)
    width, height = bits.read(16) + 1, bits.read(16) + 1
    return Facts(profile=f"profile {profile}", width=width, height=height, bit_depth=bit_depth)
