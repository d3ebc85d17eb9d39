"""FLAC: the STREAMINFO block, and how long a frame is.

Source: RFC 9639, 8.1 (metadata block header), 8.2 (STREAMINFO) and 9.1 (frame header).
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
_FRAME_HEADER_BYTES: Final = 6


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


def frame_samples(data: bytes, usual: int) -> int:
    """The samples of each channel in a frame, by its header; ``usual``, the block size of STREAMINFO, if the header
    cannot be read."""
    if len(data) < _FRAME_HEADER_BYTES or data[0] != 0xFF or data[1] & 0xFC != 0xF8:
        return usual
    code = data[2] >> 4
    if code == 1:
        return 192
    if 2 <= code <= 5:
        return 144 << code
    if code >= 8:
        return 1 << code
    # the coded number before the size is as long as one of UTF-8, up to seven bytes
    at = 4 + (max(8 - (data[4] ^ 0xFF).bit_length(), 1) if data[4] & 0x80 else 1)
    size = {6: 1, 7: 2}.get(code, 0)
    return int.from_bytes(data[at : at + size], "big") + 1 if size and at + size <= len(data) else usual
