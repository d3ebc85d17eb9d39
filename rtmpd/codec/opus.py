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
