"""AV1: the codec configuration record, the video descriptor and the sequence header in them or in a
keyframe.

Sources: AV1 Codec ISO Media File Format Binding, 2.3 (av1C); Carriage of AV1 in MPEG-2 TS (video
descriptor); AV1 Bitstream and Decoding Process Specification, 5.3 (OBUs), 5.5 (sequence header), A.3.
"""

from __future__ import annotations

from typing import Final

from ..errors import MediaError
from .bits import MAX_HEADER_BYTES, BitReader
from .facts import Facts, framerate, merged

_CONFIG_HEADER_BYTES: Final = 4
_MARKER_AND_VERSION: Final = 0x81
_DESCRIPTOR: Final = b"\x80\x04"
_SEQUENCE_HEADER: Final = 1
_MAX_OBUS: Final = 16
_MAX_PARAMETERS: Final = 31  # seq_level_idx of "no limit"

_PROFILES: Final = {0: "main", 1: "high", 2: "professional"}


def read_config(data: bytes) -> Facts:
    """What an AV1CodecConfigurationRecord says, or the AV1 video descriptor of an MPEG-2 transport
    stream; profile and level alone if no sequence header is in it.
    Raises MediaError: ``truncated``, ``bad_value`` or ``version``."""
    if data[:2] == _DESCRIPTOR:
        data = data[2:]
    if len(data) < _CONFIG_HEADER_BYTES:
        raise MediaError(f"an AV1 configuration of {len(data)} bytes", "truncated")
    if data[0] != _MARKER_AND_VERSION:
        raise MediaError(f"an AV1 configuration that begins with {data[0]:#04x}", "version")
    own = Facts(
        profile=_PROFILES.get(data[1] >> 5),
        level=level_name(data[1] & 0x1F),
        bit_depth=_bit_depth(bool(data[2] & 0x40), bool(data[2] & 0x20)),
    )
    return merged(own, read_units(data[_CONFIG_HEADER_BYTES:]))


def read_units(data: bytes) -> Facts:
    """Return what the first sequence header among these OBUs says; nothing if the first few have
    no sequence header. Raises MediaError: ``truncated`` or ``bad_value``."""
    position = 0
    for _ in range(_MAX_OBUS):
        if position >= len(data):
            break
        # A header and a size fit in ten bytes, and a sequence header is short.
        bits = BitReader(data[position : position + MAX_HEADER_BYTES])
        bits.skip(1)
        kind, has_extension, has_size = bits.read(4), bits.flag(), bits.flag()
        bits.skip(9 if has_extension else 1)
        size = bits.leb128() if has_size else bits.left // 8
        if kind == _SEQUENCE_HEADER:
            return _sequence_header(bits)
        position += (min(len(data) - position, MAX_HEADER_BYTES) * 8 - bits.left) // 8 + size
    return Facts()


def level_name(level_idx: int) -> str | None:
    """seq_level_idx counts four levels for each major number from 2 on (A.3)."""
    return f"{2 + (level_idx >> 2)}.{level_idx & 3}" if level_idx < _MAX_PARAMETERS else None


def _bit_depth(high: bool, twelve: bool) -> int:
    return 8 if not high else 12 if twelve else 10


def _sequence_header(bits: BitReader) -> Facts:
    """5.5.1, up to the size."""
    profile = bits.read(3)
    bits.skip(1)  # still_picture
    rate = None
    if bits.flag():  # reduced_still_picture_header
        level_idx = bits.read(5)
    else:
        level_idx, rate = _operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return Facts(
        profile=_PROFILES.get(profile),
        level=level_name(level_idx),
        width=bits.read(width_bits) + 1,
        height=bits.read(height_bits) + 1,
        framerate=rate,
    )


def _operating_points(bits: BitReader) -> tuple[int, float | None]:
    """The first operating point's level, and the frame rate."""
    rate = None
    delay_bits = 0
    has_timing = bits.flag()
    if has_timing:
        rate = _timing(bits)
        if bits.flag():  # decoder_model_info_present_flag
            delay_bits = bits.read(5) + 1
            bits.skip(32 + 5 + 5)
    has_display_delay = bits.flag()
    levels = []
    for _ in range(bits.read(5) + 1):
        bits.skip(12)  # operating_point_idc
        level_idx = bits.read(5)
        levels.append(level_idx)
        bits.skip(level_idx > 7)  # seq_tier
        if delay_bits and bits.flag():
            bits.skip(2 * delay_bits + 1)
        if has_display_delay and bits.flag():
            bits.skip(4)
    return levels[0], rate


def _timing(bits: BitReader) -> float | None:
    """5.5.3; a frame rate only where pictures come at equal intervals."""
    units_in_tick, time_scale = bits.read(32), bits.read(32)
    if not bits.flag():
        return None
    return framerate(time_scale, units_in_tick * (bits.uvlc() + 1))
