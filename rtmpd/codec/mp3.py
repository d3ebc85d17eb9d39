"""MPEG audio: the header of a frame.

Sources: ISO/IEC 11172-3, 2.4.1.3 and 2.4.2.3; ISO/IEC 13818-3, 2.4.2.3 (low sampling frequencies). Version
2.5 is in no standard; decoders agree on half the rates of version 2.
"""

from __future__ import annotations

from typing import Final

from ..errors import MediaError
from .bits import BitReader
from .facts import Facts

_SYNC: Final = 0x7FF
_MONO: Final = 3
_VERSION_1: Final = 3
_RATES_HZ: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_LAYERS: Final = {3: 1, 2: 2, 1: 3}
# kbit/s by bitrate_index: version 1 layers 1, 2 and 3; then layer 1 and the others of lower rates
_BITRATES_KBPS: Final = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def read_frame(data: bytes) -> Facts:
    """What the header of a frame says; ``bitrate_bps`` is that of this one frame.
    Raises MediaError: ``truncated`` or ``bad_value``."""
    bits = BitReader(data[:4])
    sync, version, layer_code = bits.read(11), bits.read(2), bits.read(2)
    bits.skip(1)  # protection_bit
    bitrate_index, rate_index = bits.read(4), bits.read(2)
    bits.skip(2)  # padding_bit, private_bit
    mode = bits.read(2)
    layer = _LAYERS.get(layer_code)
    if sync != _SYNC or version not in _RATES_HZ or layer is None or rate_index == 3 or bitrate_index == 15:
        raise MediaError("this is not a frame of MPEG audio", "bad_value")
    return Facts(
        profile=f"layer {layer}",
        sample_rate_hz=_RATES_HZ[version][rate_index],
        channels=1 if mode == _MONO else 2,
        bitrate_bps=_BITRATES_KBPS[version == _VERSION_1, layer][bitrate_index] * 1000 or None,
    )
