"""The routes of health, metrics, streams, connections, configuration and log; those of hooks are in ``hooks``."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TypeVar

from ..event.catalogue import EVENT_TYPES
from ..metrics import prometheus
from . import hooks, schema
from .api import Api, Facts, Page
from .guard import LOCAL, PUBLIC
from .openapi import document
from .problem import HttpError, refusal
from .response import EVENTS, TEXT, Response, of_json
from .route import BODY, PATH, QUERY, V1, Call, Param, Route

LATE_MS = 1000.0

T = TypeVar("T")


# --- health ---------------------------------------------------------------------------------------


def _alive(api: Api, call: Call) -> Response:
    lag_ms = api.hub_lag_ms()
    late = lag_ms > LATE_MS
    return of_json({"status": "late" if late else "ok", "hub_lag_ms": lag_ms}, 503 if late else 200)


def _ready(api: Api, call: Call) -> Response:
    reasons = api.ready()
    return of_json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


def _health(api: Api, call: Call) -> Response:
    facts = api.health()
    return of_json(facts, 200 if facts["status"] == "healthy" else 503)


def _metrics(api: Api, call: Call) -> Response:
    wanted = call.get("format")
    openmetrics = wanted == "openmetrics" if wanted else prometheus.wants_openmetrics(call.accept)
    return Response(api.metrics(openmetrics), content_type=prometheus.content_type(openmetrics))


def _openapi(api: Api, call: Call) -> Response:
    return of_json(document(ROUTES))


# --- what goes on ---------------------------------------------------------------------------------


def _paged(name: str, page: Page) -> Response:
    return of_json({name: page.items, "total": page.total, "next": page.next})


def _found(api: Api, what: str, ask: Callable[[], T]) -> T:
    """Return the answer of ``ask``. Raises HttpError if ``what`` does not exist or the request cannot be met."""
    try:
        return ask()
    except api.refusals as error:
        raise refusal(what, error) from None


def _server(api: Api, call: Call) -> Response:
    return of_json({**api.server(), "hub_lag_ms": api.hub_lag_ms()})


def _streams(api: Api, call: Call) -> Response:
    return _paged("streams", api.streams(call.get("after") or "", call["limit"]))


def _stream(api: Api, call: Call) -> Response:
    return of_json(_found(api, "stream", lambda: api.stream(call["key"])))


def _connections(api: Api, call: Call) -> Response:
    return _paged("connections", api.connections(call.get("after") or "", call["limit"]))


def _connection(api: Api, call: Call) -> Response:
    return of_json(_found(api, "connection", lambda: api.connection(call["conn_id"])))


def _kick(api: Api, call: Call) -> Response:
    if conn_id := call.get("conn_id"):
        kicked = _found(api, "connection", lambda: api.kick(conn_id))
    else:
        kicked = _found(api, "stream", lambda: api.kick_stream(call["stream_key"], call["role"]))
    return of_json({"kicked": kicked})


def _events(api: Api, call: Call) -> Response:
    for glob in call.get("type") or []:
        if not any(fnmatchcase(known, glob) for known in EVENT_TYPES):
            close = get_close_matches(glob.strip("*"), EVENT_TYPES, 3)
            hint = f"did you mean {', '.join(close)}?" if close else "rtmpd --print-schema has all types"
            raise HttpError(400, f"no event type fits {glob!r}; {hint}")
    pieces = api.tail.listen(call.get("type") or [], call.get("stream") or [], call["count"], call["wait_s"])
    return Response(pieces, content_type=EVENTS)


# --- configuration and log ------------------------------------------------------------------------


def _config(ask: Callable[[Api], Facts]) -> Callable[[Api, Call], Response]:
    return lambda api, call: of_json(ask(api))


def _reload(api: Api, call: Call) -> Response:
    result = _found(api, "configuration", api.config.reload)
    return of_json(result, 200 if result["ok"] else 422)


def _log_level(api: Api, call: Call) -> Response:
    return of_json({"level": api.log.level()})


def _set_log_level(api: Api, call: Call) -> Response:
    api.log.set_level(call["level"])
    return of_json({"level": api.log.level()})


def _log_reopen(api: Api, call: Call) -> Response:
    api.log.reopen()
    return of_json({"ok": True})


# --- tokens ---------------------------------------------------------------------------------------


def _issue(api: Api, call: Call) -> Response:
    asked = call["action"], call["app"], call["name"], call["ttl_s"]
    return of_json(_found(api, "application", lambda: api.tokens.issue(*asked)))


def _check(api: Api, call: Call) -> Response:
    asked = call["token"], call["action"], call["app"], call["name"]
    return of_json(_found(api, "application", lambda: api.tokens.check(*asked)))


# --- the table ------------------------------------------------------------------------------------

_PAGE = (
    Param("limit", QUERY, "integer", "how many at most", minimum=1, maximum=1000, default=100),
    Param("after", QUERY, "string", "continue after this one: next of the answer before"),
)
_ACTION = Param("action", BODY, "string", "what the token allows", choices=("publish", "play"), default="publish")
_APP = Param("app", BODY, "string", "application", required=True)
_NAME = Param("name", BODY, "string", "stream name", required=True)

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/healthz", _alive, "Whether the process is alive and its event loop in time", schema.LIVE,
        scope=PUBLIC, also={503: schema.LIVE},
    ),
    Route(
        "GET", "/readyz", _ready, "Whether clients should be sent here, and why not", schema.READY,
        scope=PUBLIC, also={503: schema.READY},
    ),
    Route(
        "GET", "/health", _health, "How rtmpd does its work, and every fault", schema.HEALTH,
        scope=LOCAL, also={503: schema.HEALTH},
    ),
    Route(
        "GET", "/metrics", _metrics, "Metrics for Prometheus", {"type": "string"},
        (Param("format", QUERY, "string", "the text format, instead of what Accept asks for",
               choices=("prometheus", "openmetrics")),),
        (), LOCAL, TEXT, more_types=("application/openmetrics-text",),
    ),
    Route("GET", f"{V1}/openapi.json", _openapi, "This API, as OpenAPI 3.1", schema.ANY, scope=LOCAL),
    Route("GET", f"{V1}/server", _server, "The server as a whole", schema.SERVER),
    Route("GET", f"{V1}/streams", _streams, "The streams there are", schema.page("streams", schema.STREAM), _PAGE),
    Route(
        "GET", f"{V1}/streams/{{key}}", _stream, "One stream with its players", schema.STREAM_WHOLE,
        (Param("key", PATH, "string", "the stream key, app/name; a / may be written as it is", required=True),),
        (404,), rest=True,
    ),
    Route(
        "GET", f"{V1}/connections", _connections, "The connections there are, oldest first",
        schema.page("connections", schema.CONNECTION), _PAGE,
    ),
    Route(
        "GET", f"{V1}/connections/{{conn_id}}", _connection, "One connection", schema.CONNECTION,
        (Param("conn_id", PATH, "string", "connection id", required=True),), (404,),
    ),
    Route(
        "POST", f"{V1}/kick", _kick, "End a connection, or those of a stream", schema.KICKED,
        (
            Param("conn_id", BODY, "string", "the connection to end"),
            Param("stream_key", BODY, "string", "the stream whose connections are to end"),
            Param("role", BODY, "string", "which of the stream's", choices=("publisher", "players", "all"),
                  default="publisher"),
        ),
        (404,), one_of=("conn_id", "stream_key"),
    ),
    Route(
        "GET", f"{V1}/events", _events, "Events as they happen, as server-sent events", schema.EVENT_STREAM,
        (
            Param("type", QUERY, "string", "only types that fit this glob; may be given several times", many=True),
            Param("stream", QUERY, "string", "only streams whose key fits this glob", many=True),
            Param("count", QUERY, "integer", "end after so many; 0: no end", minimum=0, maximum=10**9, default=0),
            Param("wait_s", QUERY, "number", "end when no event came for this many seconds in all; 0: no end",
                  minimum=0, maximum=86400, default=0),
        ),
        content_type=EVENTS,
    ),
    Route(
        "GET", f"{V1}/config", _config(lambda api: api.config.show()),
        "What is in effect, and where it was set; secrets are masked", schema.CONFIG_TEXT,
    ),
    Route(
        "GET", f"{V1}/config/diff", _config(lambda api: api.config.diff()), "What a reload would change",
        schema.CONFIG_DIFF,
    ),
    Route(
        "POST", f"{V1}/config/test", _config(lambda api: api.config.test()),
        "Check the files as they are now", schema.CONFIG_TEST,
    ),
    Route(
        "POST", f"{V1}/reload", _reload, "Read the configuration again, as SIGHUP does, and wait for the result",
        schema.RELOADED, also={422: schema.RELOADED},
    ),
    Route("GET", f"{V1}/log/level", _log_level, "The least level that is logged", schema.LEVEL),
    Route(
        "PUT", f"{V1}/log/level", _set_log_level, "Log from this level on, until a restart", schema.LEVEL,
        (Param("level", BODY, "string", "the level", True, choices=("debug", "info", "warning", "error")),),
    ),
    Route("POST", f"{V1}/log/reopen", _log_reopen, "Open the log file anew, after it was renamed", schema.DONE),
    Route(
        "POST", f"{V1}/tokens", _issue, "Make a signed key for a publisher or player", schema.TOKEN,
        (_ACTION, _APP, _NAME,
         Param("ttl_s", BODY, "number", "seconds it is good for", minimum=1, maximum=31536000, default=3600)),
        (409,),
    ),
    Route(
        "POST", f"{V1}/tokens/check", _check, "Whether a signed key admits, and why not", schema.VERDICT,
        (Param("token", BODY, "string", "the token", True), _ACTION, _APP, _NAME), (409,),
    ),
    *hooks.ROUTES,
)
