"""The events as an AsyncAPI 3.0 document: what rtmpd sends, to whom, in which wrapping.

The four channels are the four kinds of sinks. What an event looks like is told by the JSON Schema beside it
(``schema``), to which every message refers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.event.kind import SEVERITIES, EventType, Field

Node = dict[str, Any]

SCHEMA_FILE = "./events.schema.json"
_TEXT: Node = {"type": "string"}

_HEADERS: Node = {
    "type": "object",
    "properties": {
        "X-RTMP-Event-Id": {**_TEXT, "description": "evt_ and 26 characters; the same in every try"},
        "X-RTMP-Event-Seq": {**_TEXT, "description": "counts the events of the stream, else of the connection"},
        "X-RTMP-Severity": {**_TEXT, "enum": list(SEVERITIES)},
        "X-RTMP-Attempt": {**_TEXT, "description": "the number of this try, where there may be several"},
        "X-RTMP-Redelivered": {**_TEXT, "description": "why the event may have arrived before"},
    },
    "required": ["X-RTMP-Event-Id", "X-RTMP-Event-Seq", "X-RTMP-Severity"],
}


def document(version: str) -> Node:
    """The document of rtmpd ``version``. Never switches."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of rtmpd",
            "version": version,
            "description": "What a live-streaming daemon tells of connections, streams, media, outputs and itself.",
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, *about) for name, about in _CHANNELS.items()},
        "operations": {f"send_{name}": _operation(name) for name in _CHANNELS},
        "components": {"messages": dict(_messages()), "schemas": {"webhookHeaders": _HEADERS}},
    }


def text(version: str) -> str:
    """The same as JSON with a newline behind it."""
    return json.dumps(document(version), indent=1, ensure_ascii=False) + "\n"


def _messages() -> Iterator[tuple[str, Node]]:
    for name, (_, make) in _CHANNELS.items():
        for type, kind in EVENT_TYPES.items():
            yield f"{name}_{type}", make(kind)


def _channel(name: str, description: str, _: object) -> Node:
    refs = {type: {"$ref": f"#/components/messages/{name}_{type}"} for type in EVENT_TYPES}
    return {"address": None, "description": description, "messages": refs}


def _operation(name: str) -> Node:
    bindings = {"bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}}} if name == "webhook" else {}
    return {"action": "send", "channel": {"$ref": f"#/channels/{name}"}, **bindings}


def _message(kind: EventType, payload: Node, **others: object) -> Node:
    return {"name": kind.name, "summary": kind.trigger, **others, "payload": payload}


def _body(kind: EventType) -> Node:
    return {"$ref": f"{SCHEMA_FILE}#/$defs/{kind.name}"}


def _webhook(kind: EventType) -> Node:
    return _message(kind, _body(kind), headers={"$ref": "#/components/schemas/webhookHeaders"})


def _stdio(kind: EventType) -> Node:
    return _message(kind, _body(kind))


def _worker(kind: EventType) -> Node:
    properties = {
        "id": _TEXT,
        "seq": {"type": "integer"},
        "severity": _TEXT,
        "attempt": {"type": "integer"},
        "redelivered": _TEXT,
        "event": _body(kind),
    }
    required = ["id", "seq", "severity", "attempt", "event"]
    return _message(kind, {"type": "object", "properties": properties, "required": required})


def _script(kind: EventType) -> Node:
    fixed = {
        "RTMP_EVENT_TYPE": {**_TEXT, "const": kind.name},
        "RTMP_TIMESTAMP": {**_TEXT, "description": "Unix seconds"},
        "RTMP_CONN_ID": {**_TEXT, "description": "not there if empty"},
        "RTMP_STREAM_KEY": {**_TEXT, "description": "not there if empty"},
        "RTMP_EVENT_ID": _TEXT,
        "RTMP_EVENT_SEQ": _TEXT,
        "RTMP_SEVERITY": _TEXT,
    }
    own = {f"RTMP_{field.name.upper()}": _variable(field) for field in kind.fields}
    return _message(kind, {"type": "object", "properties": {**own, **fixed}}, contentType="text/plain")


def _variable(field: Field) -> Node:
    return {**_TEXT, "description": field.meaning}


_CHANNELS = {
    "webhook": ("A POST to the URL of the hook; the body is the event. 2xx is success.", _webhook),
    "script": ("A process per event; the event is its environment, all values text.", _script),
    "worker": ("A line of JSON on the standard input of a process that stays and answers `ack ID`.", _worker),
    "stdio": ("A line on standard output: `RTMP_EVENT: ` and the event.", _stdio),
}
