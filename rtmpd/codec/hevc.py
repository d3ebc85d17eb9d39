"""HEVC (H.265): the decoder configuration record and the sequence parameter set in it.

Sources: ISO/IEC 14496-15, 8.3.3.1 (HEVCDecoderConfigurationRecord); ITU-T H.265, 7.3.2.2.1 (SPS),
7.3.3 (profile, tier and level), 7.3.4 (scaling lists), 7.3.7 (reference picture sets), Annex A, E.2.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..errors import MediaError
from .bits import BitReader, unescaped
from .facts import Facts, framerate, merged
from .vui import aspect_ratio

_SPS: Final = 33
_NAL_HEADER_BYTES: Final = 2
_CONFIG_HEADER_BYTES: Final = 23
_MAX_NALS: Final = 64
_MAX_REFERENCES: Final = 16
_AVERAGE_RATE_UNITS: Final = 256

_PROFILES: Final = {
    1: "main",
    2: "main 10",
    3: "main still picture",
    4: "rext",
    5: "high throughput",
    6: "multiview main",
    7: "scalable main",
    8: "3d main",
    9: "scc",
    10: "scalable rext",
    11: "high throughput scc",
}
# chroma_format_idc -> width and height of a luma area that shares one chroma sample (table 6-1)
_CHROMA_CELLS: Final = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}


def read_config(data: bytes) -> Facts:
    """What an HEVCDecoderConfigurationRecord says, by its first SPS; profile, level and average frame
    rate alone if it holds none. Raises MediaError: ``truncated``, ``bad_value``, ``version`` or
    ``nal_type``."""
    if len(data) < _CONFIG_HEADER_BYTES:
        raise MediaError(f"an HEVC configuration of {len(data)} bytes", "truncated")
    if data[0] not in (0, 1):  # encoders of the draft wrote 0
        raise MediaError(f"an HEVC configuration of version {data[0]}", "version")
    own = Facts(
        profile=_PROFILES.get(data[1] & 0x1F),
        level=level_name(data[12]),
        framerate=framerate(int.from_bytes(data[19:21], "big"), _AVERAGE_RATE_UNITS),
        bit_depth=8 + (data[17] & 7),
    )
    for nal in _parameter_sets(data):
        if nal[:1] and nal[0] >> 1 & 0x3F == _SPS:
            return merged(own, read_sps(nal))
    return own


def level_name(level_idc: int) -> str | None:
    """general_level_idc is thirty times the level (A.4.1)."""
    return f"{level_idc // 30}.{level_idc % 30 // 3}" if level_idc else None


def _parameter_sets(data: bytes) -> Iterator[bytes]:
    position, seen = _CONFIG_HEADER_BYTES, 0
    for _ in range(data[_CONFIG_HEADER_BYTES - 1]):
        count, position = int.from_bytes(data[position + 1 : position + 3], "big"), position + 3
        for _ in range(count):
            start = position + 2
            position = start + int.from_bytes(data[position:start], "big")
            seen += 1
            if position > len(data) or start > len(data):
                raise MediaError("the HEVC configuration ends in the middle of a parameter set", "truncated")
            if seen > _MAX_NALS:
                return
            yield data[start:position]


def read_sps(nal: bytes) -> Facts:
    """What a sequence parameter set says. A VUI that is broken costs only what it would have said.
    Raises MediaError: ``truncated``, ``bad_value`` or ``nal_type``."""
    if not nal or nal[0] >> 1 & 0x3F != _SPS:
        raise MediaError("this NAL unit is not an SPS", "nal_type")
    bits = BitReader(unescaped(nal), _NAL_HEADER_BYTES)
    bits.skip(4)  # sps_video_parameter_set_id
    max_sub_layers = bits.read(3)
    bits.skip(1)  # sps_temporal_id_nesting_flag
    profile_idc, level_idc = _profile_tier_level(bits, max_sub_layers)
    bits.unsigned_golomb(15)  # sps_seq_parameter_set_id
    chroma_format = bits.unsigned_golomb(3)
    separate_planes = chroma_format == 3 and bits.flag()
    width, height = _size(bits, _CHROMA_CELLS[0 if separate_planes else chroma_format])
    bit_depth = 8 + bits.unsigned_golomb(8)
    bits.unsigned_golomb(8)  # bit_depth_chroma_minus8
    ratio, rate = _to_vui(bits, max_sub_layers)
    return Facts(
        profile=_PROFILES.get(profile_idc),
        level=level_name(level_idc),
        width=width,
        height=height,
        framerate=rate,
        sample_aspect_ratio=ratio,
        bit_depth=bit_depth,
    )


def _profile_tier_level(bits: BitReader, max_sub_layers: int) -> tuple[int, int]:
    """7.3.3, with the profile: profile_idc and level_idc."""
    bits.skip(3)  # general_profile_space, general_tier_flag
    profile_idc = bits.read(5)
    bits.skip(32 + 48)  # compatibility and constraint flags
    level_idc = bits.read(8)
    present = [(bits.flag(), bits.flag()) for _ in range(max_sub_layers)]
    if max_sub_layers:
        bits.skip(2 * (8 - max_sub_layers))
    for profile_present, level_present in present:
        bits.skip(88 * profile_present + 8 * level_present)
    return profile_idc, level_idc


def _size(bits: BitReader, cell: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the conformance window (7-77, 7-78)."""
    width, height = bits.unsigned_golomb(0xFFFF), bits.unsigned_golomb(0xFFFF)
    if bits.flag():
        left, right, top, bottom = (bits.unsigned_golomb() for _ in range(4))
        width -= cell[0] * (left + right)
        height -= cell[1] * (top + bottom)
    if width <= 0 or height <= 0:
        raise MediaError("the conformance window leaves nothing of the picture", "bad_value")
    return width, height


def _to_vui(bits: BitReader, max_sub_layers: int) -> tuple[tuple[int, int] | None, float | None]:
    """Sample aspect ratio and frame rate; None for what is not there or cannot be read."""
    ratio = rate = None
    try:
        _skip_coding_tools(bits, max_sub_layers)
        if bits.flag():
            ratio = aspect_ratio(bits)
            rate = _timing(bits)
    except MediaError:
        pass  # the size is known, which is what matters; decoders are not stricter
    return ratio, rate


def _skip_coding_tools(bits: BitReader, max_sub_layers: int) -> None:
    log2_max_order = bits.unsigned_golomb(12) + 4
    orderings = max_sub_layers + 1 if bits.flag() else 1
    for _ in range(3 * orderings + 6):  # sub-layer ordering; sizes of coding and transform blocks
        bits.unsigned_golomb()
    if bits.flag() and bits.flag():
        _skip_scaling_lists(bits)
    bits.skip(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag():
        bits.skip(8)  # bit depths of PCM
        bits.unsigned_golomb()
        bits.unsigned_golomb()
        bits.skip(1)
    _skip_reference_sets(bits)
    if bits.flag():
        bits.skip(bits.unsigned_golomb(32) * (log2_max_order + 1))
    bits.skip(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag


def _skip_scaling_lists(bits: BitReader) -> None:
    """Pass over scaling_list_data() (H.265, 7.3.4)."""
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not bits.flag():
                bits.unsigned_golomb()  # scaling_list_pred_matrix_id_delta
                continue
            for _ in range(min(64, 1 << (4 + 2 * size)) + (size > 1)):
                bits.signed_golomb()


def _skip_reference_sets(bits: BitReader) -> None:
    """7.3.7. The length of a predicted set depends on the set before it, so they must be worked out."""
    deltas: list[int] = []
    for index in range(bits.unsigned_golomb(64)):
        if index and bits.flag():
            sign = bits.flag()
            step = bits.unsigned_golomb(0x7FFF) + 1
            deltas = _predicted_set(bits, deltas, -step if sign else step)
        else:
            deltas = _spelled_out_set(bits)
        if len(deltas) > _MAX_REFERENCES:
            raise MediaError(f"a set of {len(deltas)} reference pictures", "bad_value")


def _predicted_set(bits: BitReader, before: list[int], step: int) -> list[int]:
    """Equations 7-61 and 7-62: each picture of the set before, and that set's own, moved by ``step``."""
    kept = [delta + step for delta in [*before, 0] if bits.flag() or bits.flag()]  # used_by_curr_pic, use_delta
    # nearest first, those before the picture and then those after it; 0 would be the picture itself
    return sorted((delta for delta in kept if delta < 0), reverse=True) + sorted(d for d in kept if d > 0)


def _spelled_out_set(bits: BitReader) -> list[int]:
    counts = bits.unsigned_golomb(_MAX_REFERENCES), bits.unsigned_golomb(_MAX_REFERENCES)
    deltas = []
    for count, direction in zip(counts, (-1, 1), strict=True):
        delta = 0
        for _ in range(count):
            delta += direction * (bits.unsigned_golomb(0x7FFF) + 1)
            deltas.append(delta)
            bits.skip(1)  # used_by_curr_pic_flag
    return deltas


def _timing(bits: BitReader) -> float | None:
    """The rest of the VUI up to vui_num_units_in_tick and vui_time_scale (E.2.1)."""
    if bits.flag():
        bits.skip(1)  # overscan_appropriate_flag
    if bits.flag():
        bits.skip(4)  # video_format, video_full_range_flag
        if bits.flag():
            bits.skip(24)
    if bits.flag():
        bits.unsigned_golomb()
        bits.unsigned_golomb()
    bits.skip(3)  # neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag
    if bits.flag():
        for _ in range(4):  # default display window
            bits.unsigned_golomb()
    if not bits.flag():
        return None
    units_in_tick, time_scale = bits.read(32), bits.read(32)
    return framerate(time_scale, units_in_tick)
