"""AVC (H.264): the decoder configuration record and the sequence parameter set in it.

Sources: ISO/IEC 14496-15, 5.3.3.1 (AVCDecoderConfigurationRecord); ITU-T H.264, 7.3.2.1.1
(seq_parameter_set_data), 7.4.2.1.1 (cropping), Annex A (profiles and levels), Annex E.1.1 (VUI).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import MediaError
from .bits import BitReader, unescaped
from .facts import Facts, framerate, merged
from .vui import aspect_ratio

_SPS: Final = 7
_CONFIG_HEADER_BYTES: Final = 6

# profiles whose SPS says more of the colours (7.3.2.1.1)
_HIGH_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})

_SET1, _SET3, _SET4, _SET5 = 0x40, 0x10, 0x08, 0x04
# (profile_idc, the constraint flags that must be set) -> name; the first that fits holds
_PROFILES: Final = (
    (66, _SET1, "constrained baseline"),
    (66, 0, "baseline"),
    (77, 0, "main"),
    (88, 0, "extended"),
    (100, _SET4 | _SET5, "constrained high"),
    (100, _SET4, "progressive high"),
    (100, 0, "high"),
    (110, _SET3, "high 10 intra"),
    (110, 0, "high 10"),
    (122, _SET3, "high 4:2:2 intra"),
    (122, 0, "high 4:2:2"),
    (144, 0, "high 4:4:4"),
    (244, _SET3, "high 4:4:4 intra"),
    (244, 0, "high 4:4:4 predictive"),
    (44, 0, "cavlc 4:4:4 intra"),
    (83, 0, "scalable baseline"),
    (86, 0, "scalable high"),
    (118, 0, "multiview high"),
    (128, 0, "stereo high"),
    (134, 0, "mfc high"),
    (135, 0, "mfc depth high"),
    (138, 0, "multiview depth high"),
    (139, 0, "enhanced multiview depth high"),
)
# Level 1b of these profiles is level_idc 11 with constraint_set3_flag (A.3.1).
_LEVEL_1B_PROFILES: Final = frozenset({66, 77, 88})

# chroma_format_idc -> width and height of a luma area that shares one chroma sample (table 6-1)
_CHROMA_CELLS: Final = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}


class _Chroma(NamedTuple):
    cell: tuple[int, int]
    bit_depth: int


def read_config(data: bytes) -> Facts:
    """What an AVCDecoderConfigurationRecord says, by its first SPS; profile and level alone if it
    holds none. Raises MediaError: ``truncated``, ``bad_value``, ``version`` or ``nal_type``."""
    if len(data) < _CONFIG_HEADER_BYTES:
        raise MediaError(f"an AVC configuration of {len(data)} bytes", "truncated")
    if data[0] != 1:
        raise MediaError(f"an AVC configuration of version {data[0]}", "version")
    own = Facts(profile=profile_name(data[1], data[2]), level=level_name(data[1], data[2], data[3]))
    if not data[5] & 0x1F:
        return own
    start = _CONFIG_HEADER_BYTES + 2
    end = start + int.from_bytes(data[_CONFIG_HEADER_BYTES:start], "big")
    if end > len(data):
        raise MediaError("the AVC configuration ends in the middle of its SPS", "truncated")
    return merged(own, read_sps(data[start:end]))


def read_sps(nal: bytes) -> Facts:
    """What a sequence parameter set says. A VUI that is broken costs only what it would have said.
    Raises MediaError: ``truncated``, ``bad_value`` or ``nal_type``."""
    if not nal or nal[0] & 0x1F != _SPS:
        raise MediaError("this NAL unit is not an SPS", "nal_type")
    bits = BitReader(unescaped(nal), 1)
    profile_idc, constraints, level_idc = bits.read(8), bits.read(8), bits.read(8)
    bits.unsigned_golomb(31)  # seq_parameter_set_id
    chroma = _chroma(bits) if profile_idc in _HIGH_PROFILES else _Chroma(_CHROMA_CELLS[1], 8)
    _skip_picture_order(bits)
    width, height = _size(bits, chroma.cell)
    ratio, rate = _vui(bits)
    return Facts(
        profile=profile_name(profile_idc, constraints),
        level=level_name(profile_idc, constraints, level_idc),
        width=width,
        height=height,
        framerate=rate,
        sample_aspect_ratio=ratio,
        bit_depth=chroma.bit_depth,
    )


def profile_name(profile_idc: int, constraints: int) -> str | None:
    """The name of a profile; ``constraints`` is the byte of constraint_set flags."""
    for idc, flags, name in _PROFILES:
        if idc == profile_idc and constraints & flags == flags:
            return name
    return None


def level_name(profile_idc: int, constraints: int, level_idc: int) -> str | None:
    """The name of a level: ``3.1``, ``1b``."""
    if level_idc == 9 or (level_idc == 11 and constraints & _SET3 and profile_idc in _LEVEL_1B_PROFILES):
        return "1b"
    return f"{level_idc // 10}.{level_idc % 10}" if level_idc else None


def _chroma(bits: BitReader) -> _Chroma:
    chroma_format = bits.unsigned_golomb(3)
    separate_planes = chroma_format == 3 and bits.flag()
    bit_depth = 8 + bits.unsigned_golomb(6)
    bits.unsigned_golomb(6)  # bit_depth_chroma_minus8
    bits.skip(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.flag():
        for index in range(12 if chroma_format == 3 else 8):
            if bits.flag():
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return _Chroma(_CHROMA_CELLS[0 if separate_planes else chroma_format], bit_depth)


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    """7.3.2.1.1.1: the list ends early where the next scale would be 0."""
    scale = 8
    for _ in range(size):
        scale = (scale + bits.signed_golomb()) % 256
        if not scale:
            return


def _skip_picture_order(bits: BitReader) -> None:
    bits.unsigned_golomb(12)  # log2_max_frame_num_minus4
    kind = bits.unsigned_golomb(2)
    if kind == 0:
        bits.unsigned_golomb(12)
    elif kind == 1:
        bits.skip(1)
        bits.signed_golomb()
        bits.signed_golomb()
        for _ in range(bits.unsigned_golomb(255)):
            bits.signed_golomb()
    bits.unsigned_golomb()  # max_num_ref_frames
    bits.skip(1)  # gaps_in_frame_num_value_allowed_flag


def _size(bits: BitReader, cell: tuple[int, int]) -> tuple[int, int]:
    """Width and height after cropping (7-19 to 7-22)."""
    width = 16 * (bits.unsigned_golomb(0xFFFF) + 1)
    map_units = bits.unsigned_golomb(0xFFFF) + 1
    fields_per_frame = 1 if bits.flag() else 2
    height = 16 * map_units * fields_per_frame
    if fields_per_frame == 2:
        bits.skip(1)  # mb_adaptive_frame_field_flag
    bits.skip(1)  # direct_8x8_inference_flag
    if bits.flag():
        left, right, top, bottom = (bits.unsigned_golomb() for _ in range(4))
        width -= cell[0] * (left + right)
        height -= cell[1] * fields_per_frame * (top + bottom)
    if width <= 0 or height <= 0:
        raise MediaError("the cropping leaves nothing of the picture", "bad_value")
    return width, height


def _vui(bits: BitReader) -> tuple[tuple[int, int] | None, float | None]:
    """Sample aspect ratio and frame rate (E.1.1); None for what is not there or cannot be read."""
    ratio = rate = None
    try:
        if bits.flag():
            ratio = aspect_ratio(bits)
            if bits.flag():
                bits.skip(1)  # overscan_appropriate_flag
            if bits.flag():
                bits.skip(4)  # video_format, video_full_range_flag
                if bits.flag():
                    bits.skip(24)
            if bits.flag():
                bits.unsigned_golomb()
                bits.unsigned_golomb()
            if bits.flag():
                units_in_tick, time_scale = bits.read(32), bits.read(32)
                rate = framerate(time_scale, 2 * units_in_tick)  # a tick is a field (E.2.1)
    except MediaError:
        pass  # encoders of cameras write such SPS; decoders show the pictures all the same
    return ratio, rate
