"""Bits written by hand, for headers that no encoder at hand makes."""

from __future__ import annotations


class Bits:
    """Most significant first. Every method but the last three returns the object, to be called on."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, bits: int, value: int | bool) -> Bits:
        assert 0 <= int(value) < 1 << bits
        self.text += f"{int(value):0{bits}b}" if bits else ""
        return self

    def ue(self, value: int) -> Bits:
        code = f"{value + 1:b}"
        self.text += "0" * (len(code) - 1) + code
        return self

    def se(self, value: int) -> Bits:
        return self.ue(2 * value - 1 if value > 0 else -2 * value)

    def add(self, other: Bits | None) -> Bits:
        self.text += other.text if other else ""
        return self

    def bytes(self) -> bytes:
        """Filled up with zeros."""
        text = self.text + "0" * (-len(self.text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""

    def nal(self) -> bytes:
        """With the stop bit, and emulation prevention bytes where they must be (H.264, 7.4.1)."""
        raw = Bits().add(self).u(1, 1).bytes()
        out = bytearray()
        zeros = 0
        for byte in raw:
            if zeros == 2 and byte <= 3:
                out.append(3)
                zeros = 0
            zeros = zeros + 1 if byte == 0 else 0
            out.append(byte)
        return bytes(out)
