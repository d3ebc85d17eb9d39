"""AAC: the AudioSpecificConfig.

Sources: ISO/IEC 14496-3, 1.6.2.1 (AudioSpecificConfig, GetAudioObjectType), 1.6.3.4 (sampling
frequencies), 1.6.5 (signalling of SBR and PS), 4.4.1 (GASpecificConfig, program_config_element).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import MediaError
from .bits import MAX_HEADER_BYTES, BitReader
from .facts import Facts

_RATES_HZ: Final = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip
_EXPLICIT_RATE: Final = 15
_ESCAPED_TYPE: Final = 31
_CHANNELS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 13: 24, 14: 8}

_SBR, _PS, _BSAC, _SCALABLE, _ER_SCALABLE = 5, 29, 22, 6, 20
_LOW_DELAY, _ENHANCED_LOW_DELAY = 23, 39
_GENERAL_AUDIO: Final = frozenset({1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23})
_ERROR_RESILIENT: Final = frozenset({17, 19, 20, 21, 22, 23})
_RESILIENCE_FLAGS: Final = frozenset({17, 19, 20, 23})
_SYNC_SBR: Final = 0x2B7
_SYNC_PS: Final = 0x548

_PROFILES: Final = {
    1: "main",
    2: "lc",
    3: "ssr",
    4: "ltp",
    5: "he-aac",
    6: "scalable",
    7: "twinvq",
    17: "er lc",
    19: "er ltp",
    20: "er scalable",
    21: "er twinvq",
    22: "er bsac",
    23: "ld",
    29: "he-aacv2",
    39: "eld",
    42: "xhe-aac",
}


class _Extension(NamedTuple):
    """What explicit signalling says of SBR and PS: the output rate (None: not said)."""

    rate_hz: int | None
    parametric_stereo: bool


def read_config(data: bytes) -> Facts:
    """What an AudioSpecificConfig says: explicit SBR gives the doubled rate, explicit PS two channels.
    Raises MediaError: ``truncated`` or ``bad_value``."""
    bits = BitReader(data[:MAX_HEADER_BYTES])
    object_type = _object_type(bits)
    rate_hz = _rate(bits)
    configuration = bits.read(4)
    extension = _Extension(None, False)
    if object_type in (_SBR, _PS):
        extension = _Extension(_rate(bits), object_type == _PS)
        object_type = _object_type(bits)
        if object_type == _BSAC:
            bits.skip(4)  # extensionChannelConfiguration
    channels = _CHANNELS.get(configuration)
    if configuration and channels is None:
        raise MediaError(f"channel configuration {configuration} is reserved", "bad_value")
    if object_type in _GENERAL_AUDIO:
        in_program = _general_audio(bits, object_type, configuration)
        channels = channels or in_program
        if extension.rate_hz is None:
            extension = _appended(bits)
    name = _PS if extension.parametric_stereo else _SBR if extension.rate_hz else object_type
    return Facts(
        profile=_PROFILES.get(name),
        sample_rate_hz=extension.rate_hz or rate_hz,
        channels=2 if extension.parametric_stereo and channels == 1 else channels,
    )


class Core(NamedTuple):
    """What a container needs of a configuration: the audio object type that it begins with, the rate of the core coder
    and its samples in a frame, both without SBR."""

    object_type: int
    rate_hz: int
    frame_samples: int


def read_core(data: bytes) -> Core:
    """What an AudioSpecificConfig says of the core coder. Raises as ``read_config``."""
    bits = BitReader(data[:MAX_HEADER_BYTES])
    first = core = _object_type(bits)
    rate_hz = _rate(bits)
    bits.skip(4)  # channelConfiguration
    if first in (_SBR, _PS):
        _rate(bits)
        core = _object_type(bits)
    has_flag = core in _GENERAL_AUDIO or core == _ENHANCED_LOW_DELAY
    is_short = has_flag and bits.flag()
    if core in (_LOW_DELAY, _ENHANCED_LOW_DELAY):
        return Core(first, rate_hz, 480 if is_short else 512)
    return Core(first, rate_hz, 960 if is_short else 1024)


def _object_type(bits: BitReader) -> int:
    object_type = bits.read(5)
    return 32 + bits.read(6) if object_type == _ESCAPED_TYPE else object_type


def _rate(bits: BitReader) -> int:
    index = bits.read(4)
    rate_hz = bits.read(24) if index == _EXPLICIT_RATE else _RATES_HZ[index] if index < len(_RATES_HZ) else 0
    if not rate_hz:
        raise MediaError(f"sampling frequency index {index} says no rate", "bad_value")
    return rate_hz


def _general_audio(bits: BitReader, object_type: int, configuration: int) -> int | None:
    """4.4.1, table 4.1, and epConfig: the channels of a program config element, if there is one."""
    bits.skip(1)  # frameLengthFlag
    if bits.flag():
        bits.skip(14)  # coreCoderDelay
    has_extension = bits.flag()
    channels = None if configuration else _program(bits)
    if object_type in (_SCALABLE, _ER_SCALABLE):
        bits.skip(3)  # layerNr
    if has_extension:
        if object_type == _BSAC:
            bits.skip(5 + 11)
        if object_type in _RESILIENCE_FLAGS:
            bits.skip(3)
        bits.skip(1)  # extensionFlag3
    if object_type in _ERROR_RESILIENT:
        bits.skip(2)  # epConfig
    return channels


def _program(bits: BitReader) -> int:
    """Table 4.2, up to the elements: the channels that they have in all."""
    bits.skip(4 + 2 + 4)  # element_instance_tag, object_type, sampling_frequency_index
    elements = bits.read(4) + bits.read(4) + bits.read(4)  # front, side, back
    low_frequency = bits.read(2)
    data_elements, coupling = bits.read(3), bits.read(4)
    for mixdown_bits in (4, 4, 3):  # mono, stereo, matrix
        if bits.flag():
            bits.skip(mixdown_bits)
    channels = low_frequency
    for _ in range(elements):
        channels += 2 if bits.flag() else 1
        bits.skip(4)
    bits.skip(4 * low_frequency + 4 * data_elements + 5 * coupling)
    bits.skip(bits.left % 8)
    bits.skip(8 * bits.read(8))  # comment_field
    if not channels:
        raise MediaError("a program without channels", "bad_value")
    return channels


def _appended(bits: BitReader) -> _Extension:
    """Backward compatible signalling after the configuration (1.6.5.3); what else is there is not read."""
    if bits.left < 16 or bits.read(11) != _SYNC_SBR or _object_type(bits) != _SBR:
        return _Extension(None, False)
    if bits.left < 5 or not bits.flag():
        return _Extension(None, False)
    rate_hz = _rate(bits)
    stereo = bits.left >= 12 and bits.read(11) == _SYNC_PS and bits.flag()
    return _Extension(rate_hz, stereo)
