"""The contract as JSON Schema (2020-12): what every event looks like, made from the catalogue.

One document holds them all. Against its root an event of any type can be checked; ``#/$defs/publish_start``
is one type. Both schemas of the body fit: the five keys of schema 1, and those with what schema 2 adds.
"""

from __future__ import annotations

import json
from typing import Any

from .catalogue import EVENT_TYPES
from .kind import SEVERITIES, EventType, Field
from .pairing import STOP_TYPES, told_by_crash

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ENVELOPE = ("type", "timestamp", "conn_id", "stream_key", "data")
SCHEMA_2 = ("id", "seq", "severity", "time", "node")

_SHARED: dict[str, Schema] = {
    "timestamp": {"type": "integer", "minimum": 0, "description": "Unix time in seconds at which it happened"},
    "conn_id": {"type": "string", "pattern": "^(c[0-9]{6,})?$", "description": "connection, empty if none"},
    "stream_key": {"type": "string", "description": "app/name without a query, empty without a stream"},
    "id": {"type": "string", "pattern": "^evt_[0-9A-HJKMNP-TV-Z]{26}$", "description": "unique, sorts by time"},
    "seq": {"type": "integer", "minimum": 1, "description": "counts the events of the stream, else of the connection"},
    "time": {"type": "string", "format": "date-time", "description": "the timestamp with milliseconds, UTC"},
    "node": {"type": "string", "description": "the node that sends it"},
    "attempt": {"type": "integer", "minimum": 1, "description": "of a batch: the number of this try"},
    "redelivered": {"type": "string", "description": "of a batch: why it may have arrived before"},
}


def document() -> Schema:
    """Return one JSON Schema for all event types."""
    return {
        "$schema": DIALECT,
        "$id": "urn:rtmpd:events",
        "title": "Events of rtmpd",
        "type": "object",
        "properties": {"type": {"enum": list(EVENT_TYPES)}},
        "required": ["type"],
        "allOf": [_for_its_type(name) for name in EVENT_TYPES],
        "$defs": {**{name: _event(kind) for name, kind in EVENT_TYPES.items()}, **_shared()},
    }


def text() -> str:
    """Return ``document`` as JSON text that ends with a newline."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def schema_of(type: str) -> Schema:
    """The schema of one event type, complete in itself. Raises KeyError for a type that is not known."""
    kind = EVENT_TYPES[type]
    return {"$schema": DIALECT, "$id": f"urn:rtmpd:events:{type}", **_event(kind), "$defs": _shared()}


def _shared() -> dict[str, Schema]:
    return {f"envelope_{name}": schema for name, schema in _SHARED.items()}


def _for_its_type(name: str) -> Schema:
    """Only the schema of the type speaks, so that an error names the field and not forty types that it is not."""
    return {"if": {"properties": {"type": {"const": name}}}, "then": {"$ref": f"#/$defs/{name}"}}


def _event(kind: EventType) -> Schema:
    own = {"type": {"const": kind.name}, "severity": {"enum": _severities(kind)}, "data": _data(kind)}
    names = [*ENVELOPE, *SCHEMA_2, "attempt", "redelivered"]
    return {
        "title": kind.name,
        "description": kind.trigger,
        "type": "object",
        "properties": {name: own.get(name) or {"$ref": f"#/$defs/envelope_{name}"} for name in names},
        "required": list(ENVELOPE),
        "dependentRequired": {"id": list(SCHEMA_2)},
        "additionalProperties": False,
    }


def _severities(kind: EventType) -> list[str]:
    possible = {kind.severity, *(severity for _, severity in kind.severity_of)}
    return [severity for severity in SEVERITIES if severity in possible]


def _data(kind: EventType) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {field.name: _value(field) for field in kind.fields},
        "additionalProperties": False,
    }
    required = [field.name for field in kind.fields if not field.optional]
    known = told_by_crash(kind.name) if kind.name in STOP_TYPES else required
    if known == required:
        return {**schema, "required": required}
    ended_by_crash = {"required": ["last_seen"]}
    return {**schema, "if": ended_by_crash, "then": {"required": known}, "else": {"required": required}}


def _value(field: Field) -> Schema:
    closed = {"enum": list(field.values)} if field.values else {}
    return {"type": field.type, **closed, "description": field.meaning}
