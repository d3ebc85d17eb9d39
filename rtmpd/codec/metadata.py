"""Data messages of a stream: what they are called and what players must receive.

A publisher wraps its metadata in ``@setDataFrame`` so that the server keeps it for late joiners;
players expect what was wrapped, ``onMetaData`` first. Payloads are forwarded as they came, so the
work is done on bytes; only ``metadata_properties`` looks at decoded values.

All functions take the AMF0 form of the payload: the body of a type 18 message, or of a type 15
message behind its leading format byte. None switches or raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

SET_DATA_FRAME: Final = "@setDataFrame"
CLEAR_DATA_FRAME: Final = "@clearDataFrame"
ON_METADATA: Final = "onMetaData"

# marker of an AMF0 string (AMF 0, 2.4 and 2.14) -> bytes of its length field
_LENGTH_BYTES: Final = {0x02: 2, 0x0C: 4}


def data_name(payload: bytes) -> str:
    """The text of the first AMF0 string, ``""`` if the payload does not begin with one.

    Bytes that are not UTF-8 are replaced; for a cut-off string the result is ``""``.
    """
    start, end = _first_string(payload)
    return payload[start:end].decode("utf-8", "replace")


def strip_set_data_frame(payload: bytes) -> bytes:
    """The payload as players must receive it: without a leading ``@setDataFrame``."""
    if data_name(payload) != SET_DATA_FRAME:
        return payload
    return payload[_first_string(payload)[1] :]


def is_metadata(payload: bytes) -> bool:
    """Whether this is ``onMetaData``, wrapped in ``@setDataFrame`` or bare: to be kept for late joiners."""
    return data_name(strip_set_data_frame(payload)) == ON_METADATA


def clears_metadata(payload: bytes) -> bool:
    """Whether this is ``@clearDataFrame onMetaData``: the kept metadata is void. Not for players."""
    if data_name(payload) != CLEAR_DATA_FRAME:
        return False
    return data_name(payload[_first_string(payload)[1] :]) == ON_METADATA


def metadata_properties(values: Sequence[object]) -> Mapping[str, object] | None:
    """The properties of a decoded ``onMetaData``, wrapped or bare; None if ``values`` is other data."""
    if values and values[0] == SET_DATA_FRAME:
        values = values[1:]
    if len(values) < 2 or values[0] != ON_METADATA:
        return None
    properties = values[1]
    return properties if isinstance(properties, Mapping) else None


def _first_string(payload: bytes) -> tuple[int, int]:
    """Where the text of the first AMF0 string starts and ends; (0, 0) if there is none."""
    length_bytes = _LENGTH_BYTES.get(payload[0]) if payload else None
    if length_bytes is None:
        return 0, 0
    start = 1 + length_bytes
    end = start + int.from_bytes(payload[1:start], "big")
    return (start, end) if end <= len(payload) and start <= len(payload) else (0, 0)
