"""Data messages of a stream: what they are called and what players must receive.

A publisher wraps its metadata in ``@setDataFrame`` so that the server keeps it for late joiners; some write
``setDataFrame``, and some leave out the name and send the object alone, wrapped or not. Players expect what was
wrapped, ``onMetaData`` first. Payloads are forwarded as they came, so the
work is done on bytes; only ``metadata_properties`` looks at decoded values.

All functions take the AMF0 form of the payload: the body of a type 18 message, or of a type 15
message after its leading format byte. None switches or raises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from .names import AUDIO_FOURCCS, SOUND_FORMATS, VIDEO_CODEC_IDS, VIDEO_FOURCCS

SET_DATA_FRAME: Final = "@setDataFrame"
CLEAR_DATA_FRAME: Final = "@clearDataFrame"
ON_METADATA: Final = "onMetaData"

# marker of an AMF0 string (AMF 0, 2.4 and 2.14) -> bytes of its length field
_LENGTH_BYTES: Final = {0x02: 2, 0x0C: 4}


def _spelled(name: str) -> tuple[bytes, ...]:
    """The AMF0 strings that say ``name``: with a short and with a long length."""
    text = name.encode()
    return tuple(bytes([marker]) + len(text).to_bytes(size, "big") + text for marker, size in _LENGTH_BYTES.items())


_WRAPPERS: Final = (*_spelled(SET_DATA_FRAME), *_spelled(SET_DATA_FRAME.lstrip("@")))
_BARE: Final = _spelled(ON_METADATA)
_NAMELESS: Final = (b"\x03", b"\x08")  # the markers of an object and an ECMA array (AMF 0, 2.5 and 2.10)
_METADATA: Final = tuple(wrapper + bare for wrapper in (b"", *_WRAPPERS) for bare in (*_BARE, *_NAMELESS))
_CLEARS: Final = (*_spelled(CLEAR_DATA_FRAME), *_spelled(CLEAR_DATA_FRAME.lstrip("@")))
_CLEARING: Final = tuple(clear + bare for clear in _CLEARS for bare in _BARE)


def data_name(payload: bytes) -> str:
    """The text of the first AMF0 string, ``""`` if the payload does not begin with one.

    Bytes that are not UTF-8 are replaced; for a cut-off string the result is ``""``.
    """
    length_bytes = _LENGTH_BYTES.get(payload[0]) if payload else None
    if length_bytes is None:
        return ""
    start = 1 + length_bytes
    end = start + int.from_bytes(payload[1:start], "big")
    return payload[start:end].decode("utf-8", "replace") if end <= len(payload) else ""


def strip_set_data_frame(payload: bytes) -> bytes:
    """The payload as players must receive it: without a leading ``@setDataFrame``, and with a name before an object."""
    for wrapper in _WRAPPERS:
        if payload.startswith(wrapper):
            payload = payload[len(wrapper) :]
            break
    return _BARE[0] + payload if payload.startswith(_NAMELESS) else payload


def is_metadata(payload: bytes) -> bool:
    """Whether this is metadata, wrapped or bare, with its name or without: to be kept for late joiners."""
    return payload.startswith(_METADATA)


def clears_metadata(payload: bytes) -> bool:
    """Whether this is ``@clearDataFrame onMetaData``: the kept metadata is void. Not for players."""
    return payload.startswith(_CLEARING)


def metadata_properties(values: Sequence[object]) -> Mapping[str, object] | None:
    """The properties of a decoded ``onMetaData``, wrapped or bare; None if ``values`` is other data."""
    if values and values[0] == SET_DATA_FRAME:
        values = values[1:]
    if len(values) < 2 or values[0] != ON_METADATA:
        return None
    properties = values[1]
    return properties if isinstance(properties, dict) else None


# --- what onMetaData says of the stream -----------------------------------------------------------

_MAX_EXTRA: Final = 32
_NAME_CHARS: Final = 64
_TEXT_CHARS: Final = 256
_BITS_PER_KILOBIT: Final = 1000
_LAVF_BITS_PER_KILOBIT: Final = 1024  # libavformat/flvenc.c divides by that
_LAVF: Final = "Lavf"
_LARGEST: Final = 1e15
_EXACT: Final = 2.0**53  # whole numbers below are whole in AMF too

# field of stream_metadata -> the properties that encoders write it in, whether it is in kbit/s, and the digits after
# its point: None for a whole number
_NUMBERS: Final = (
    ("width", ("width", "displayWidth"), False, None),
    ("height", ("height", "displayHeight"), False, None),
    ("framerate", ("framerate", "videoframerate", "fps"), False, 3),
    ("video_bitrate", ("videodatarate",), True, None),
    ("audio_bitrate", ("audiodatarate",), True, None),
)
_TEXTS: Final = (
    ("encoder", ("encoder",)),
    ("creation_date", ("creationdate", "creationDate", "creation_time")),
    ("title", ("title",)),
)
_TAKEN: Final = frozenset(name for row in (*_NUMBERS, *_TEXTS) for name in row[1]) | {"duration"}
_CODEC_IDS: Final = {
    "audio": ("audiocodecid", SOUND_FORMATS, AUDIO_FOURCCS),
    "video": ("videocodecid", VIDEO_CODEC_IDS, VIDEO_FOURCCS),
}


def stream_fields(properties: Mapping[str, object]) -> dict[str, object]:
    """The data of ``stream_metadata``: sizes in pixels, bit rates in bit/s (onMetaData has kbit/s, of 1024 bit if
    ffmpeg wrote it and of 1000 else), duration in seconds, 0 as live encoders say it. Any other number that is 0,
    and any that is negative or not finite, is not known and so not there. ``extra`` holds the other numbers,
    texts and truths: at most 32, names of at most 64 and texts of 256 characters.
    """
    data: dict[str, object] = {}
    encoder = properties.get("encoder")
    is_lavf = isinstance(encoder, str) and encoder.startswith(_LAVF)
    kilobit = _LAVF_BITS_PER_KILOBIT if is_lavf else _BITS_PER_KILOBIT
    for field, names, is_rate, digits in _NUMBERS:
        factor = kilobit if is_rate else 1
        for name in names:
            value = properties.get(name, 0.0)
            number = value if type(value) is float else _positive(value)
            if 0 < number < _LARGEST:
                if rounded := round(number * factor, digits):
                    data[field] = rounded
                break
    for field, names in _TEXTS:
        for name in names:
            text = properties.get(name)
            if isinstance(text, str) and text:
                data[field] = text[:_TEXT_CHARS]
                break
    duration = properties.get("duration")
    if duration is not None and (seconds := _positive(duration)):
        data["duration"] = round(seconds, 3)
    elif isinstance(duration, float | int) and not isinstance(duration, bool) and duration == 0:
        data["duration"] = 0
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
        if len(extra) == _MAX_EXTRA:
            break
        if name in _TAKEN or len(name) > _NAME_CHARS:
            continue
        if isinstance(value, bool):
            extra[name] = value
        elif isinstance(value, float | int) and math.isfinite(value):
            extra[name] = int(value) if abs(value) < _EXACT and value == int(value) else value
        elif isinstance(value, str):
            extra[name] = value[:_TEXT_CHARS]
    return extra


def _positive(value: object) -> float:
    """A number above 0, also where it is written as text, as some encoders do; 0 for anything else."""
    if isinstance(value, str) and len(value) <= _NAME_CHARS:
        try:
            value = float(value)
        except ValueError:
            return 0.0
    if isinstance(value, bool) or not isinstance(value, float | int):
        return 0.0
    return float(value) if 0 < value < _LARGEST else 0.0
