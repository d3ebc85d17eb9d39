"""Bits of a header, most significant first, as the standards of pictures and sounds write them.

Every method of ``BitReader`` costs O(bits read), so a reader that reads each bit at most once costs
no more than the length of its input, even if the input claims more.
"""

from __future__ import annotations

from typing import Final

from ..errors import MediaError

MAX_HEADER_BYTES: Final = 4096
"""As much of a parameter set or header as is looked at: the longest legal ones are far shorter."""

_MAX_GOLOMB_ZEROS: Final = 32
_WINDOW_BYTES: Final = 5  # 33 bits, wherever they start in the first byte
_ESCAPED: Final = b"\x00\x00\x03"


def unescaped(nal: bytes) -> bytes:
    """A NAL unit without its emulation prevention bytes (H.264, 7.3.1; H.265, 7.3.1.1); at most
    MAX_HEADER_BYTES of it."""
    return nal[:MAX_HEADER_BYTES].replace(_ESCAPED, b"\x00\x00")


class BitReader:
    """Reads ``data`` from its first bit on. Every method raises MediaError with the code
    ``truncated`` where the data end; none switches."""

    __slots__ = ("_bits", "_data", "_position")

    def __init__(self, data: bytes, offset_bytes: int = 0) -> None:
        self._data = data
        self._bits = len(data) * 8
        self._position = offset_bytes * 8

    @property
    def left(self) -> int:
        """Bits that have not been read."""
        return self._bits - self._position

    def read(self, bits: int) -> int:
        """An unsigned number of ``bits`` bits; u(n) of the standards."""
        start, end = self._position, self._position + bits
        if end > self._bits:
            raise MediaError("the header ends in the middle of a field", "truncated")
        self._position = end
        value = int.from_bytes(self._data[start >> 3 : (end + 7) >> 3], "big") >> (-end & 7)
        return value & ((1 << bits) - 1)

    def flag(self) -> bool:
        """Read one bit. Raises MediaError ``truncated``."""
        return bool(self.read(1))

    def skip(self, bits: int) -> None:
        """Pass over ``bits`` bits. Raises MediaError ``truncated``."""
        self._position += bits
        if self._position > self._bits:
            raise MediaError("the header ends in the middle of a field", "truncated")

    def unsigned_golomb(self, most: int = 0xFFFFFFFE) -> int:
        """ue(v) of H.264, 9.1. Raises MediaError ``bad_value`` for more than ``most``."""
        value = (1 << (zeros := self._zeros())) - 1 + self.read(zeros)
        if value > most:
            raise MediaError(f"{value} where at most {most} is allowed", "bad_value")
        return value

    def signed_golomb(self) -> int:
        """se(v) of H.264, 9.1.1. Raises as ``unsigned_golomb``."""
        code = self.unsigned_golomb()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)

    def leb128(self) -> int:
        """A little-endian base 128 number of AV1, 4.10.5: at most eight bytes."""
        value = 0
        for index in range(8):
            byte = self.read(8)
            value |= (byte & 0x7F) << index * 7
            if not byte & 0x80:
                return value
        raise MediaError("a size of more than eight bytes", "bad_value")

    def uvlc(self) -> int:
        """The variable length code of AV1, 4.10.3."""
        zeros = self._zeros()
        return (1 << zeros) - 1 + self.read(zeros) if zeros < _MAX_GOLOMB_ZEROS else (1 << 32) - 1

    def _zeros(self) -> int:
        """The zeros before the next one bit, both of which are read."""
        start = self._position
        window = self._data[start >> 3 : (start >> 3) + _WINDOW_BYTES]
        width = len(window) * 8 - (start & 7)
        value = int.from_bytes(window, "big") & ((1 << width) - 1)
        zeros = width - value.bit_length()
        if zeros > _MAX_GOLOMB_ZEROS:
            raise MediaError("a number of more than 32 bits", "bad_value")
        if not value:
            raise MediaError("the header ends in the middle of a number", "truncated")
        self._position = start + zeros + 1
        return zeros
