"""The OpenAPI 3.1 file, made of the table of routes, and the forms of the answers as JSON Schema.

Objects may grow more keys within a version of the API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from .. import __version__
from .guard import LOCAL, PUBLIC
from .response import JSON, PROBLEM, phrase
from .route import BODY, MOST_ITEMS, PATH, QUERY, Param, Route

Schema = dict[str, Any]

_OF = {"s": "string", "i": "integer", "n": "number", "b": "boolean", "o": "object"}


def obj(*rows: str, **nested: Schema) -> Schema:
    """An object. Each row is ``name kind meaning``: s, i, n, b or o for string, integer, number, boolean or object,
    ``[s]`` for a list of them, with a ``?`` after it if the value may be null."""
    properties = {name: _kind(kind) | {"description": text} for name, kind, text in (r.split(" ", 2) for r in rows)}
    properties |= nested
    return {"type": "object", "properties": properties, "required": list(properties)}


def _kind(kind: str) -> Schema:
    if kind.startswith("["):
        return {"type": "array", "items": _kind(kind[1:-1])}
    name = _OF[kind[0]]
    return {"type": [name, "null"] if kind.endswith("?") else name}


def array(items: Schema, description: str = "") -> Schema:
    """Return the schema of a list of ``items``."""
    return {"type": "array", "items": items} | ({"description": description} if description else {})


PROBLEM_FACTS = obj("title s what the status means", "status i the HTTP status", "detail s what was wrong")

PUBLISHER = obj(
    "conn_id s the connection that publishes",
    "session_id s the session, as in publish_start",
    "address s IP address",
    "age_s n seconds since the publish began",
    "video_codec s empty as long as there was no video",
    "audio_codec s empty as long as there was no audio",
    "video_packets i messages",
    "audio_packets i messages",
    "total_bytes i bytes of media",
    "stalled_s n seconds since the last media message, to about a second",
)
PLAYER = obj(
    "conn_id s the connection that plays",
    "session_id s the session, as in play_start",
    "address s IP address",
    "age_s n seconds since the play began",
    "bytes_sent i bytes of media",
    "frames_dropped i frames that it was too slow for",
    "backlog_frames i frames that wait for it",
    "paused b whether it paused",
)
RECORDING = obj(
    "session_id s the session, as in recording_start",
    "path s the first file, empty before it is open",
    "open s the name of the file that is open",
    "age_s n seconds since the recording began",
    "bytes_written i bytes of all its files",
    "queued_bytes i bytes that wait for the disk",
)
RELAY = obj(
    "session_id s the session, as in relay_start",
    "destination s URL without what may be secret",
    "state s connecting, connected or waiting (to try again)",
    "age_s n seconds since it was connected, 0 if it is not",
    "bytes_sent i bytes of media",
    "frames_dropped i frames that the destination was too slow for",
    "attempts i attempts that failed in a row",
    "last_error s what went wrong last, empty if nothing did",
)
_STREAM_ROWS = (
    "key s the stream key, app/name",
    "app s application",
    "name s stream name",
    "live b whether there is a publisher, or one that was cut off and may return",
    "age_s n seconds since the stream began",
    "players i players attached",
)
STREAM = obj(*_STREAM_ROWS, publisher={"oneOf": [PUBLISHER, {"type": "null"}]})
STREAM_WHOLE = obj(
    *_STREAM_ROWS,
    publisher={"oneOf": [PUBLISHER, {"type": "null"}]},
    playing=array(PLAYER, "the first 1000 players"),
    recordings=array(RECORDING, "what is recorded of it now"),
    relays=array(RELAY, "where copies of it go now"),
)
CONNECTION = obj(
    "conn_id s connection id",
    "address s IP address",
    "port i port",
    "app s application, empty before connect",
    "role s empty, publisher or subscriber",
    "stream_key s of what it publishes, or else plays",
    "phase s where in its life it is",
    "flash_ver s what the client calls itself",
    "tls b whether it is encrypted",
    "age_s n seconds since it was accepted",
    "bytes_received i bytes",
    "bytes_sent i bytes",
    "backlogged b whether bytes wait for it to read",
)
SERVER = obj(
    "version s version of rtmpd",
    "accelerated b whether the modules that can be compiled are compiled",
    "pid i process id",
    "uptime_s n seconds",
    "listen [s] RTMP addresses",
    "draining b whether it is stopping",
    "connections i RTMP connections",
    "streams i streams",
    "publishers i streams that are published",
    "players i plays",
    "recordings i streams that are recorded",
    "recordings_failed i streams whose recording ended early, while they go on",
    "relays i copies of streams for other servers",
    "relays_connected i those of them that are connected",
    "uid i user that rtmpd runs as",
    "descriptors i files that it may open",
    "connections_limit i connections that it may have, 0: no limit",
    "open_to_publish [s] applications to which anybody may publish; * stands for those that are not named",
    "public [s] RTMP addresses that are not of this machine only",
    "hub_lag_ms n how late the event loop was lately",
)
LIVE = obj("status s ok or late", "hub_lag_ms n how late the event loop was lately")
READY = obj("ready b whether it is", "reasons [s] why it is not")
FAULT = obj(
    "fault s kind of fault",
    "subject s what it is about: a file, a hook, a stream, a destination",
    "message s what is known of the cause",
    "severity s warning or critical",
    "meaning s what the fault means",
    "advice s what to do",
)
HEALTH = obj(
    "hook_manager_status s healthy, or degraded if events are not accepted or delivered",
    "active_hooks i hooks there are",
    "failed_deliveries i events that a hook did not get, dead or dropped, since the start",
    "last_event_time n? Unix time of the latest event, null if there was none",
    "status s healthy, or degraded if there is a fault",
    "hooks_held_up [s] hooks whose endpoint is only probed or given up",
    "last_reload s applied, rejected, or empty if there was none",
    "queued_events i events that wait for their hook or for the event store",
    "dropped_events i events that were given up, since the start",
    "dead_letters i events that hooks did not get, since the start",
    faults=array(FAULT, "what keeps rtmpd from doing its work now, the worst first, up to 100"),
)
CONFIG_TEXT = obj("text s the configuration")
_PROBLEMS = ("ok b whether it can be used", "problems [s] what keeps it from being used")
CONFIG_TEST = obj(*_PROBLEMS, "warnings [s] oddities")
CONFIG_DIFF = obj(*_PROBLEMS, "text s unified diff from what is in effect to what is in the files")
RELOADED = obj(
    *_PROBLEMS,
    "warnings [s] oddities",
    "changed [s] what is in effect now",
    "restart [s] what changed and waits for a restart",
)
KICKED = obj("kicked [s] ids of the connections that were ended")
TOKEN = obj(
    "token s the key", "app s application", "name s stream name", "action s publish or play", "expires i Unix time"
)
VERDICT = obj("allowed b whether it admits", "reason s why not", "identity s whose it is")
LEVEL = obj("level s debug, info, warning or error")
DONE = obj("ok b true")
ANY: Schema = {"type": "object"}
EVENT_STREAM: Schema = {"type": "string", "description": "events as text/event-stream; data is the event as JSON"}
LINES: Schema = {"type": "string", "description": "one JSON object a line, each a record of progress"}


def page(name: str, items: Schema) -> Schema:
    """Some facts, and where to go on."""
    return obj(
        "total i how many there are",
        "next s give it as after to go on; empty at the end",
        **{name: array(items)},
    )


# --- the document ---------------------------------------------------------------------------------

_GENERAL = (400, 408, 414, 421, 431, 500, 503)
_GUARDED = (401, 403)
_WITH_BODY = (411, 413, 415)

_SECURITY: dict[str, list[dict[str, list[str]]]] = {PUBLIC: [], LOCAL: [{}, {"bearer": []}]}

_DESCRIPTION = """\
Health, metrics and control of a running rtmpd. On the control socket no token is needed; over TCP everything below
/api/v1 needs `Authorization: Bearer TOKEN`. Connections are kept between requests. Unknown parameters are refused;
answers may get more keys in later versions."""


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of ``routes``."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rtmpd",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM_FACTS},
            "responses": {_name(status): _problem(status) for status in _refusals(routes)},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def text(routes: Sequence[Route]) -> str:
    """Return the text of docs/openapi.json."""
    return json.dumps(document(routes), indent=1, ensure_ascii=False) + "\n"


def _refusals(routes: Iterable[Route]) -> list[int]:
    """Every status of a refusal."""
    own = {status for route in routes for status in route.errors}
    return sorted({*_GENERAL, *_GUARDED, *_WITH_BODY, *own})


def _name(status: int) -> str:
    return phrase(status).title().replace(" ", "").replace("-", "")


def _problem(status: int) -> dict[str, Any]:
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": phrase(status), "content": content}


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "security": _SECURITY.get(route.scope, [{"bearer": []}]),
        "responses": _responses(route),
    }
    beside = [_parameter(param) for param in (*route.of(PATH), *route.of(QUERY))]
    if beside:
        operation["parameters"] = beside
    if body := route.of(BODY):
        operation["requestBody"] = _body(body, route.one_of)
    return operation


def _operation_id(route: Route) -> str:
    words = re.findall(r"[a-z0-9_]+", route.path.removeprefix("/api/v1"))
    return "_".join([route.method.lower(), *words])


def _parameter(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": param.where,
        "required": param.required,
        "description": param.meaning,
        "schema": _schema(param),
    }


def _body(params: list[Param], one_of: tuple[str, ...]) -> dict[str, Any]:
    required = [param.name for param in params if param.required]
    schema = {
        "type": "object",
        "properties": {param.name: {**_schema(param), "description": param.meaning} for param in params},
        "additionalProperties": False,
        **({"required": required} if required else {}),
        **({"oneOf": [{"required": [name]} for name in one_of]} if one_of else {}),
    }
    return {"required": bool(required or one_of), "content": {JSON: {"schema": schema}}}


def _text(param: Param) -> dict[str, Any]:
    return {"minLength": 1, "maxLength": param.chars, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$"}


def _schema(param: Param) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": param.type}
    if param.type == "string":
        schema |= {"enum": list(param.choices)} if param.choices else _text(param)
    elif param.type != "boolean":
        schema |= {"minimum": param.minimum, "maximum": param.maximum}
    if param.many:
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": MOST_ITEMS}
    if param.default is not None:
        schema["default"] = param.default
    return schema


def _responses(route: Route) -> dict[str, Any]:
    good = {200: route.answer, **route.also}
    statuses = [*_GENERAL, *route.errors]
    statuses += () if route.scope == PUBLIC else _GUARDED
    statuses += _WITH_BODY if route.of(BODY) else ()
    responses = {str(status): _answer(status, route, schema) for status, schema in good.items()}
    for status in sorted(set(statuses) - set(good)):
        responses[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
    return responses


def _answer(status: int, route: Route, schema: Any) -> dict[str, Any]:
    content = {type: {"schema": schema} for type in (route.content_type, *route.more_types)}
    if status in _GENERAL:  # a refusal may have the same status
        content[PROBLEM] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": phrase(status), "content": content}
