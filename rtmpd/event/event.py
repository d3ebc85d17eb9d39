"""One event: a snapshot taken at birth, its JSON form and its form as an environment.

The JSON body (schema 1) has five keys, in this order, always all present::

    {"type":"publish_start","timestamp":1634567890,"conn_id":"c000001","stream_key":"live/a","data":{"app":"live"}}

``id``, ``seq`` and ``severity`` travel beside the body, in headers and variables, so that the body
stays what its readers have always parsed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType
from typing import Protocol, TypeVar

from .catalogue import EVENT_TYPES

ENV_VALUE_BYTES = 4096
ENV_TOTAL_BYTES = 65536

_DEPTH = 16
_PLAIN_CLASSES = frozenset({str, int, bool, type(None)})
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NOT_IN_A_NAME = re.compile("[^A-Z0-9_]")
_CORE_NAMES = frozenset({
    "RTMP_EVENT_TYPE",
    "RTMP_TIMESTAMP",
    "RTMP_CONN_ID",
    "RTMP_STREAM_KEY",
    "RTMP_EVENT_ID",
    "RTMP_EVENT_SEQ",
    "RTMP_SEVERITY",
})
_FIELD_NAMES = {
    name: frozenset(entry.name for entry in event_type.fields) for name, event_type in EVENT_TYPES.items()
}
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


Kind = TypeVar("Kind", bound="Event")


class Emit(Protocol):
    """The function with which every part emits events.

    Never waits, never switches greenlets, never raises. ``data`` are the fields of the type, in
    the order of the catalogue; a field that is not known is left out.
    """

    def __call__(self, type: str, /, *, conn_id: str = "", stream_key: str = "", **data: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, once and for all. ``timestamp`` is Unix time in seconds.

    ``data`` is read-only and holds only what JSON knows, so nothing that happens to the emitter's
    objects later changes the event and serialising it cannot fail. Made by ``birth.Births``.
    """

    type: str
    timestamp: int
    conn_id: str = ""
    stream_key: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    id: str = ""
    seq: int = 0
    severity: str = "info"
    _json: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain = {
            key: value if value.__class__ in _PLAIN_CLASSES else _plain(value, _DEPTH)
            for key, value in self.data.items()
        }
        object.__setattr__(self, "data", MappingProxyType(plain))

    def __str__(self) -> str:
        subject = self.stream_key or self.conn_id
        return f"{self.type}:{subject}" if subject else self.type

    def json(self) -> bytes:
        """Schema 1: compact UTF-8 without a newline, made at the first call and kept."""
        if self._json is None:
            body = {
                "type": self.type,
                "timestamp": self.timestamp,
                "conn_id": self.conn_id,
                "stream_key": self.stream_key,
                "data": dict(self.data),
            }
            object.__setattr__(self, "_json", _encode(body).encode("utf-8", "replace"))
        assert self._json is not None
        return self._json

    def as_env(self) -> dict[str, str]:
        """The event as environment variables, the fixed ones first.

        ``RTMP_CONN_ID`` and ``RTMP_STREAM_KEY`` are there only if not empty. Each entry of ``data``
        is ``RTMP_`` and its name in upper case, but only names of the catalogue, and none that would
        hide a fixed one (``severity`` of an alert is ``RTMP_SEVERITY`` anyway). Values come
        from the network: control characters are removed, a value is cut at ``ENV_VALUE_BYTES``, and
        entries that would pass ``ENV_TOTAL_BYTES`` in all are left out.
        """
        env = {"RTMP_EVENT_TYPE": self.type, "RTMP_TIMESTAMP": str(self.timestamp)}
        if self.conn_id:
            env["RTMP_CONN_ID"] = _env_value(self.conn_id)
        if self.stream_key:
            env["RTMP_STREAM_KEY"] = _env_value(self.stream_key)
        env |= {"RTMP_EVENT_ID": self.id, "RTMP_EVENT_SEQ": str(self.seq), "RTMP_SEVERITY": self.severity}
        room = ENV_TOTAL_BYTES - sum(_env_bytes(name, value) for name, value in env.items())
        known = _FIELD_NAMES.get(self.type)
        for key, value in self.data.items():
            name = "RTMP_" + _NOT_IN_A_NAME.sub("_", key.upper())
            if name in _CORE_NAMES or (known is not None and key not in known):
                continue
            text = _env_value(value)
            size = _env_bytes(name, text)
            if size <= room:
                env[name] = text
                room -= size
        return env


_COPIED = tuple(Event.__dataclass_fields__)
_values_of = attrgetter(*_COPIED)
_put = object.__setattr__


def copied(event: Event, kind: type[Kind], seq: int | None = None) -> Kind:
    """The same event as an object of the class ``kind``, by default with the same ``seq``; the body is shared, fields
    that only that class has are not set yet."""
    copy = object.__new__(kind)
    for name, value in zip(_COPIED, _values_of(event), strict=True):
        _put(copy, name, value)
    if seq is not None:
        _put(copy, "seq", seq)
    return copy


def restored(
    type: str, timestamp: int, conn_id: str, stream_key: str, id: str, seq: int, severity: str, body: bytes
) -> Event:
    """The event whose ``json()`` was ``body`` and is so again. What JSON holds needs no second look."""
    event = object.__new__(Event)
    data = MappingProxyType(json.loads(body)["data"])
    values = (type, timestamp, conn_id, stream_key, data, id, seq, severity, body)
    for name, value in zip(_COPIED, values, strict=True):
        _put(event, name, value)
    return event


def _plain(value: object, depth: int) -> object:
    """``value`` as JSON knows it, copied: NaN and infinities are null, bytes hex, the rest text."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case bytes() | bytearray():
            return value.hex()
        case Mapping() if depth:
            return {str(key): _plain(item, depth - 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth:
            return [_plain(item, depth - 1) for item in value]
    return str(value)


def _env_value(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else _encode(value)
    clean = _CONTROL.sub("", text)
    if len(clean) * 4 <= ENV_VALUE_BYTES:
        return clean.encode("utf-8", "replace").decode()
    return clean.encode("utf-8", "replace")[:ENV_VALUE_BYTES].decode("utf-8", "ignore")


def _env_bytes(name: str, value: str) -> int:
    """What the entry takes in the block that execve(2) copies: name, =, value, NUL."""
    return len(name) + len(value.encode()) + 2
