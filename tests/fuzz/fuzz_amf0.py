"""AMF0: any bytes decode within the limits or raise AmfError; what was decoded survives the way back."""

from __future__ import annotations

from typing import Any

from rtmpd.errors import AmfError
from rtmpd.protocol.amf0 import (
    UNDEFINED,
    AmfLimits,
    Date,
    EcmaArray,
    TypedObject,
    Value,
    XmlDocument,
    decode_all,
    encode,
)
from tests.fuzz import fuzz

LIMITS = AmfLimits(depth=8, items=100, bytes=1 << 14)

SEEDS = [
    encode("connect", 1, {"app": "live", "fpad": False, "capabilities": 15, "objectEncoding": None}),
    encode("@setDataFrame", "onMetaData", EcmaArray(width=1280.0, height=720.0, encoder="x")),
    encode(None, UNDEFINED, Date(1e12), XmlDocument("<a/>"), TypedObject("C", {"a": [1.0, [], {"b": {}}]})),
    encode("x" * 300, -0.0, True),
    bytes.fromhex("0a00000002 030000 09 070001 080000000000016105000009 070000"),
    b"\x0a\x00\x00\x00\x01" * 9 + b"\x05",
    b"\x08\x00\x00\x00\x00\x00\x01a\x0c\x00\x00\x00\x01b",
]


def one_input(data: bytes) -> None:
    try:
        values = decode_all(data, LIMITS)
    except AmfError as error:
        assert error.code.startswith("amf_"), error.code
        return
    items, depth = _measure(values)
    # the list of the values themselves is neither an item nor a level
    assert items - 1 <= LIMITS.items and depth - 1 <= LIMITS.depth, (items, depth)
    spelled_out = encode(*values)
    # a byte that is not UTF-8 comes back as the three of U+FFFD, an end marker that was missing as three
    assert len(spelled_out) <= 3 * LIMITS.bytes + 9 * LIMITS.items
    assert encode(*decode_all(spelled_out, AmfLimits(bytes=len(spelled_out)))) == spelled_out


def _measure(value: Any) -> tuple[int, int]:
    """How many values there are, however often each is met, and how deep they are nested."""
    children: list[Value] = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 1, 0
    measures = [_measure(child) for child in children]
    return 1 + sum(items for items, _ in measures), 1 + max((depth for _, depth in measures), default=0)


if __name__ == "__main__":
    fuzz(one_input, SEEDS)
