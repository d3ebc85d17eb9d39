"""FLAC: the STREAMINFO block.

Source: RFC 9639, 8.1 (metadata block header) and 8.2 (STREAMINFO).
"""

from __future__ import annotations

from typing import Final

from ..errors import MediaError
from .bits import BitReader
from .facts import Facts

_MARKER: Final = b"fLaC"
_BLOCK_HEADER_BYTES: Final = 4
_STREAMINFO: Final = 0
_STREAMINFO_BYTES: Final = 34


def read_config(data: bytes) -> Facts:
    """What the STREAMINFO block says, with the marker and block header before it or alone.
    Raises MediaError: ``truncated`` or ``bad_value``."""
    if data.startswith(_MARKER):
        data = data[len(_MARKER) :]
        if data[:1] and data[0] & 0x7F != _STREAMINFO:
            raise MediaError("the first metadata block is not STREAMINFO", "bad_value")
        data = data[_BLOCK_HEADER_BYTES:]
    if len(data) < _STREAMINFO_BYTES:
        raise MediaError(f"a STREAMINFO block of {len(data)} bytes", "truncated")
    bits = BitReader(data[:_STREAMINFO_BYTES], 10)  # after the sizes of blocks and frames
    rate_hz, channels = bits.read(20), bits.read(3) + 1
    return Facts(sample_rate_hz=rate_hz or None, channels=channels)
