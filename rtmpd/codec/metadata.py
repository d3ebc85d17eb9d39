"""Data messages of a stream: what they are called and what players must receive.

A publisher wraps its metadata in ``@setDataFrame`` so that the server keeps it for late joiners;
players expect what was wrapped, ``onMetaData`` first. Payloads are forwarded as they came, so the
work is done on bytes; only ``metadata_properties`` looks at decoded values.

All functions take the AMF0 form of the payload: the body of a type 18 message, or of a type 15
message behind its leading format byte. None switches or raises.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from .names import AUDIO_FOURCCS, SOUND_FORMATS, VIDEO_CODEC_IDS, VIDEO_FOURCCS

T = TypeVar("T")

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


# --- what onMetaData says of the stream -----------------------------------------------------------

_MOST_EXTRA: Final = 32
_NAME_CHARS: Final = 64
_TEXT_CHARS: Final = 256
_BITS_PER_KILOBIT: Final = 1000
_LARGEST: Final = 1e15

# field of stream_metadata -> the properties that encoders write it in, and what a number is multiplied by
_NUMBERS: Final = (
    ("width", ("width", "displayWidth"), 1),
    ("height", ("height", "displayHeight"), 1),
    ("framerate", ("framerate", "videoframerate", "fps"), 1),
    ("video_bitrate", ("videodatarate",), _BITS_PER_KILOBIT),
    ("audio_bitrate", ("audiodatarate",), _BITS_PER_KILOBIT),
)
_TEXTS: Final = (
    ("encoder", ("encoder",)),
    ("creation_date", ("creationdate", "creationDate", "creation_time")),
    ("title", ("title",)),
)
_WHOLE: Final = frozenset({"width", "height", "video_bitrate", "audio_bitrate"})
_TAKEN: Final = frozenset(name for row in (*_NUMBERS, *_TEXTS) for name in row[1]) | {"duration"}
_CODEC_IDS: Final = {
    "audio": ("audiocodecid", SOUND_FORMATS, AUDIO_FOURCCS),
    "video": ("videocodecid", VIDEO_CODEC_IDS, VIDEO_FOURCCS),
}


def stream_fields(properties: Mapping[str, object]) -> dict[str, object]:
    """The data of ``stream_metadata``: sizes in pixels, bit rates in bit/s (onMetaData has kbit/s), duration in
    seconds. A number that is 0, negative or not finite is not known and so not there. ``extra`` holds
    the other numbers, texts and truths: at most 32, names of at most 64 and texts of 256 characters.
    """
    data: dict[str, object] = {}
    for field, names, factor in _NUMBERS:
        number = _first(_positive(properties.get(name)) for name in names)
        rounded = None if number is None else round(number * factor, None if field in _WHOLE else 3)
        if rounded:
            data[field] = rounded
    for field, names in _TEXTS:
        text = _first(_text(properties.get(name)) for name in names)
        if text is not None:
            data[field] = text
    duration = round(_positive(properties.get("duration")) or 0.0, 3)
    if duration:
        data["duration"] = duration
    extra = _extra(properties)
    if extra:
        data["extra"] = extra
    return data


def declared_codec(properties: Mapping[str, object], kind: str) -> str:
    """The name of the codec that onMetaData says the ``audio`` or ``video`` is; ``""`` if it does not, or
    if the id is not known. A FourCC may be written as a number or as text (Enhanced RTMP v2)."""
    key, ids, fourccs = _CODEC_IDS[kind]
    value = properties.get(key)
    if isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value < 1 << 32:
        code = int(value)
        return ids.get(code) or fourccs.get(code.to_bytes(4, "big").decode("latin-1"), "")
    return fourccs.get(value, "") if isinstance(value, str) else ""


def _extra(properties: Mapping[str, object]) -> dict[str, object]:
    extra: dict[str, object] = {}
    for name, value in properties.items():
        if len(extra) == _MOST_EXTRA:
            break
        if name in _TAKEN or len(name) > _NAME_CHARS:
            continue
        if isinstance(value, bool):
            extra[name] = value
        elif isinstance(value, float | int) and math.isfinite(value):
            extra[name] = int(value) if value == int(value) else value
        elif isinstance(value, str):
            extra[name] = value[:_TEXT_CHARS]
    return extra


def _positive(value: object) -> float | None:
    """A number above 0, also where it is written as text, as some encoders do."""
    if isinstance(value, str) and len(value) <= _NAME_CHARS:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, float | int):
        return None
    return float(value) if 0 < value < _LARGEST else None


def _text(value: object) -> str | None:
    return value[:_TEXT_CHARS] if isinstance(value, str) and value else None


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)
