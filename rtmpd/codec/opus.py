"""Opus: the identification header, and the first byte of a packet.

Sources: RFC 7845, 5.1 (identification header) and 5.1.1; RFC 6716, 3.1 (TOC byte). A decoder puts out
48 kHz for every input; the rate in the header is only that of the original.
"""

from __future__ import annotations

from typing import Final

from ..errors import MediaError
from .facts import Facts

_MAGIC: Final = b"OpusHead"
_HEADER_BYTES: Final = 19
_RATE_HZ: Final = 48000
_STEREO: Final = 0x04


def read_config(data: bytes) -> Facts:
    """What an identification header says. Raises MediaError: ``truncated``, ``version`` or ``bad_value``."""
    if not data.startswith(_MAGIC):
        raise MediaError("this is not an identification header of Opus", "version")
    if len(data) < _HEADER_BYTES:
        raise MediaError(f"an Opus header of {len(data)} bytes", "truncated")
    if data[8] & 0xF0:
        raise MediaError(f"an Opus header of version {data[8]}", "version")
    if not data[9]:
        raise MediaError("an Opus header without channels", "bad_value")
    return Facts(sample_rate_hz=_RATE_HZ, channels=data[9])


def read_packet(data: bytes) -> Facts:
    """Return what a packet says in place of a header: mono or stereo. Raises MediaError ``truncated``."""
    if not data:
        raise MediaError("an Opus packet of no bytes", "truncated")
    return Facts(sample_rate_hz=_RATE_HZ, channels=2 if data[0] & _STEREO else 1)


def packet_samples(data: bytes) -> int:
    """The samples at 48 kHz that a packet stands for (RFC 6716, 3.1 and 3.2). Raises MediaError ``truncated``."""
    if not data:
        raise MediaError("an Opus packet of no bytes", "truncated")
    config, code = data[0] >> 3, data[0] & 3
    if config < 12:
        samples = (480, 960, 1920, 2880)[config & 3]  # SILK: 10 to 60 ms
    elif config < 16:
        samples = (480, 960)[config & 1]  # hybrid: 10 or 20 ms
    else:
        samples = 120 << (config & 3)  # CELT: 2.5 to 20 ms
    if code < 3:
        return samples * (1 if code == 0 else 2)
    if len(data) < 2:
        raise MediaError("an Opus packet ends before its count of frames", "truncated")
    return samples * (data[1] & 0x3F)
