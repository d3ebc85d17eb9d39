"""AC-3 and E-AC-3: the header of a synchronisation frame.

Source: ATSC A/52:2018, 5.3 and 5.4 (AC-3 syncinfo and bsi), table 5.18 (frame sizes), E.1.2 (E-AC-3 bsi). The
channels are those of the first substream; a dependent substream that adds to them is not looked for.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import MediaError
from .bits import BitReader
from .facts import Facts

_SYNC: Final = 0x0B77
_RATES_HZ: Final = (48000, 44100, 32000)
_REDUCED_RATES_HZ: Final = (24000, 22050, 16000)
_CHANNELS: Final = (2, 1, 2, 3, 3, 4, 4, 5)  # by acmod; 0 is two programs of one channel
_BITRATES_KBPS: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_BLOCKS: Final = (1, 2, 3, 6)
_SAMPLES_PER_BLOCK: Final = 256
_LAST_AC3_ID: Final = 10
_STANDARD_AC3_ID: Final = 8
_LAST_EAC3_ID: Final = 16


class Sync(NamedTuple):
    """The fields of a frame's header as the standard has them, and what they mean. ``size_code`` is frmsizecod of AC-3,
    0 for E-AC-3; ``mode`` is acmod, ``low_frequency`` lfeon; ``samples`` is how much sound the frame stands for."""

    rate_code: int
    size_code: int
    bsid: int
    mode: int
    low_frequency: int
    rate_hz: int
    bitrate_bps: int
    samples: int

    @property
    def channels(self) -> int:
        """The channels of the frame, with the one of low frequencies."""
        return _CHANNELS[self.mode] + self.low_frequency


def read_frame(data: bytes) -> Facts:
    """What a frame of either codec says. Raises as ``read_sync``."""
    sync = read_sync(data)
    return Facts(sample_rate_hz=sync.rate_hz, channels=sync.channels, bitrate_bps=sync.bitrate_bps)


def read_sync(data: bytes) -> Sync:
    """The header of a frame of either codec; bsid says which it is.
    Raises MediaError: ``truncated`` or ``bad_value``."""
    if len(data) < 8:
        raise MediaError(f"a frame of {len(data)} bytes", "truncated")
    if int.from_bytes(data[:2], "big") != _SYNC:
        raise MediaError("no sync word", "bad_value")
    bsid = data[5] >> 3
    if bsid > _LAST_EAC3_ID:
        raise MediaError(f"bitstream id {bsid} is reserved", "bad_value")
    return _ac3(data, bsid) if bsid <= _LAST_AC3_ID else _eac3(data, bsid)


def _ac3(data: bytes, bsid: int) -> Sync:
    bits = BitReader(data[:8], 4)
    rate_code, size_code = bits.read(2), bits.read(6)
    bits.skip(5 + 3)  # bsid, bsmod
    mode = bits.read(3)
    if mode & 1 and mode != 1:
        bits.skip(2)  # cmixlev
    if mode & 4:
        bits.skip(2)  # surmixlev
    if mode == 2:
        bits.skip(2)  # dsurmod
    low_frequency = bits.read(1)
    if rate_code == 3 or size_code >> 1 >= len(_BITRATES_KBPS):
        raise MediaError("a reserved rate or frame size", "bad_value")
    halvings = max(bsid, _STANDARD_AC3_ID) - _STANDARD_AC3_ID
    rate_hz, bitrate_bps = _RATES_HZ[rate_code] >> halvings, _BITRATES_KBPS[size_code >> 1] * 1000 >> halvings
    return Sync(rate_code, size_code, bsid, mode, low_frequency, rate_hz, bitrate_bps, 6 * _SAMPLES_PER_BLOCK)


def _eac3(data: bytes, bsid: int) -> Sync:
    bits = BitReader(data[:8], 2)
    bits.skip(2 + 3)  # strmtyp, substreamid
    frame_bytes = 2 * (bits.read(11) + 1)
    rate_code, block_code = bits.read(2), bits.read(2)
    mode, low_frequency = bits.read(3), bits.read(1)
    blocks = _BLOCKS[block_code]
    if rate_code == 3:
        if block_code == 3:
            raise MediaError("a reserved sampling rate", "bad_value")
        rate_hz, blocks = _REDUCED_RATES_HZ[block_code], 6
    else:
        rate_hz = _RATES_HZ[rate_code]
    samples = blocks * _SAMPLES_PER_BLOCK
    return Sync(rate_code, 0, bsid, mode, low_frequency, rate_hz, frame_bytes * 8 * rate_hz // samples, samples)
