"""The codecs that only Flash Player had: what their frames say of the picture, and what the first byte
of a legacy audio message says of the sound.

Sources: FLV 10.1, E.4.2.1 (SoundFormat), E.4.3.2 (H263VIDEOPACKET), E.4.3.3 (SCREENVIDEOPACKET), E.4.3.4
(VP6FLVVIDEOPACKET), E.4.3.5 (VP6FLVALPHAVIDEOPACKET). The dimensions in a VP6 keyframe are counted in
macroblocks (VP6 Bitstream and Decoder Specification, 9.1).
"""

from __future__ import annotations

from typing import Final

from ..errors import MediaError
from .bits import BitReader
from .facts import Facts

_START_CODE_BITS: Final = 17
# PictureSize of Sorenson H.263 -> width and height, or the bits that each is written in
_SORENSON_SIZES: Final = {2: (352, 288), 3: (176, 144), 4: (128, 96), 5: (320, 240), 6: (160, 120)}
_SORENSON_CUSTOM_BITS: Final = {0: 8, 1: 16}

_MACROBLOCK_PIXELS: Final = 16

# SoundFormat -> what the codec fixes, whatever the rate and type bits claim
_FIXED_RATES_HZ: Final = {4: 16000, 5: 8000, 7: 8000, 8: 8000, 11: 16000, 14: 8000}
_MONO: Final = frozenset({4, 5, 6, 11})
_G711: Final = frozenset({7, 8})
_G711_SAMPLE_BITS: Final = 8
_PCM: Final = frozenset({0, 3})
_OF_THE_CODEC: Final = {10: Facts(), 13: Facts(sample_rate_hz=48000)}


def read_sorenson(data: bytes) -> Facts:
    """The picture size in an H263VIDEOPACKET. Raises MediaError ``truncated`` or ``bad_value``."""
    bits = BitReader(data[:16])
    start_code = bits.read(_START_CODE_BITS)
    bits.skip(5 + 8)  # Version, TemporalReference
    code = bits.read(3)
    if start_code != 1:
        raise MediaError("this is not a Sorenson picture", "bad_value")
    if code in _SORENSON_CUSTOM_BITS:
        size_bits = _SORENSON_CUSTOM_BITS[code]
        width, height = bits.read(size_bits), bits.read(size_bits)
    else:
        width, height = _SORENSON_SIZES.get(code, (0, 0))
    return Facts(width=width or None, height=height or None)


def read_screen(data: bytes) -> Facts:
    """The picture size in a SCREENVIDEOPACKET of either version. Raises MediaError ``truncated``."""
    bits = BitReader(data[:4])
    bits.skip(4)  # BlockWidth
    width = bits.read(12)
    bits.skip(4)  # BlockHeight
    height = bits.read(12)
    return Facts(width=width or None, height=height or None)


def read_vp6(data: bytes) -> Facts:
    """The picture size in a VP6FLVVIDEOPACKET with a keyframe.
    Raises MediaError ``truncated`` or ``not_a_keyframe``."""
    return _read_vp6(data, 1)


def read_vp6_alpha(data: bytes) -> Facts:
    """The same of a VP6FLVALPHAVIDEOPACKET, which has an offset before the picture."""
    return _read_vp6(data, 4)


def _read_vp6(data: bytes, start: int) -> Facts:
    bits = BitReader(data[:16])
    less_width, less_height = bits.read(4), bits.read(4)
    bits.skip(8 * (start - 1))
    if bits.flag():
        raise MediaError("this is not a VP6 keyframe", "not_a_keyframe")
    bits.skip(6)  # quantizer
    separate_coefficients = bits.flag()
    bits.skip(5)  # version
    simple_profile = not bits.read(2)
    bits.skip(1)  # interlaced
    if separate_coefficients or simple_profile:
        bits.skip(16)  # offset of the second partition
    rows, columns = bits.read(8), bits.read(8)
    width, height = columns * _MACROBLOCK_PIXELS - less_width, rows * _MACROBLOCK_PIXELS - less_height
    return Facts(width=width if width > 0 else None, height=height if height > 0 else None)


def sound_facts(sound_format: int, rate_hz: int, sample_bits: int, channels: int) -> Facts:
    """What a legacy message's first byte says of its sound, corrected by what the codec fixes.

    For AAC the byte says nothing, and for Opus only the codec does: servers and cameras that send it so do not agree on
    what follows the byte. PCM and G.711 have a bit rate by their nature.
    """
    if sound_format in _OF_THE_CODEC:
        return _OF_THE_CODEC[sound_format]
    rate_hz = _FIXED_RATES_HZ.get(sound_format, rate_hz)
    channels = 1 if sound_format in _MONO else channels
    bitrate_bps = None
    if sound_format in _PCM:
        bitrate_bps = rate_hz * sample_bits * channels
    elif sound_format in _G711:
        bitrate_bps = rate_hz * _G711_SAMPLE_BITS * channels
    return Facts(sample_rate_hz=rate_hz, channels=channels, bitrate_bps=bitrate_bps)
