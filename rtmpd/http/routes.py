"""The routes: what can be asked of a running rtmpd, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from ..clock import LAST_MOMENT_S
from ..event.catalogue import EVENT_TYPES
from ..metrics import prometheus
from . import openapi
from .api import Api, Facts, HookControl, Page
from .guard import LOCAL, PUBLIC
from .response import EVENTS, LINES, TEXT, HttpError, Response, of_json, of_lines, refusal
from .route import BODY, PATH, QUERY, V1, Call, Param, Route

LATE_MS = 1000.0

_MOST: Final = 2**53
_ERRORS: Final = (404, 409)

Handle = Callable[[Api, Call], Response]
Ask = Callable[[Api, Call], Facts]
Work = Callable[[HookControl, Call], Iterator[Facts]]


def _facts(ask: Ask, what: str = "") -> Handle:
    """Make a handler that answers with what ``ask`` returns; its refusals become answers if ``what`` names what may be
    missing."""

    def handle(api: Api, call: Call) -> Response:
        try:
            return of_json(ask(api, call))
        except api.refusals as error:
            if not what:
                raise
            raise refusal(what, error) from None

    return handle


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
    return of_json(openapi.document(ROUTES))


# --- what goes on ---------------------------------------------------------------------------------


def _paged(name: str, page: Page) -> Facts:
    return {name: page.items, "total": page.total, "next": page.next}


def _server(api: Api, call: Call) -> Facts:
    return {**api.server(), "hub_lag_ms": api.hub_lag_ms()}


def _streams(api: Api, call: Call) -> Facts:
    return _paged("streams", api.streams(call.get("after") or "", call["limit"]))


def _connections(api: Api, call: Call) -> Facts:
    return _paged("connections", api.connections(call.get("after") or "", call["limit"]))


def _kick(api: Api, call: Call) -> Response:
    conn_id = call.get("conn_id")
    try:
        kicked = api.kick(conn_id) if conn_id else api.kick_stream(call["stream_key"], call["role"])
    except api.refusals as error:
        raise refusal("connection" if conn_id else "stream", error) from None
    return of_json({"kicked": kicked})


def _events(api: Api, call: Call) -> Response:
    for glob in call.get("type") or []:
        if not any(fnmatchcase(known, glob) for known in EVENT_TYPES):
            close = get_close_matches(glob.strip("*"), EVENT_TYPES, 3)
            hint = f"did you mean {', '.join(close)}?" if close else "rtmpd --print-schema has all types"
            raise HttpError(400, f"no event type matches {glob!r}; {hint}")
    pieces = api.tail.listen(call.get("type") or [], call.get("stream") or [], call["count"], call["wait_s"])
    return Response(pieces, content_type=EVENTS)


# --- configuration, log and tokens ----------------------------------------------------------------


def _reload(api: Api, call: Call) -> Response:
    try:
        result = api.config.reload()
    except api.refusals as error:
        raise refusal("configuration", error) from None
    return of_json(result, 200 if result["ok"] else 422)


def _log_level(api: Api, call: Call) -> Facts:
    return {"level": api.log.level()}


def _set_log_level(api: Api, call: Call) -> Facts:
    api.log.set_level(call["level"])
    return _log_level(api, call)


def _log_reopen(api: Api, call: Call) -> Facts:
    api.log.reopen()
    return {"ok": True}


def _issue(api: Api, call: Call) -> Facts:
    return api.tokens.issue(call["action"], call["app"], call["name"], call["ttl_s"])


def _check(api: Api, call: Call) -> Facts:
    return api.tokens.check(call["token"], call["action"], call["app"], call["name"])


# --- hooks ----------------------------------------------------------------------------------------
# Long work answers with a line for each step, so that the client sees the progress. It goes on as long as the client
# reads: a client that leaves stops it, and what was done is done.


def _pause(api: Api, call: Call) -> Facts:
    api.hooks.pause(call["hook_id"])
    return {"ok": True}


def _resume(api: Api, call: Call) -> Facts:
    api.hooks.resume(call["hook_id"])
    return {"ok": True}


def _worked(what: str, work: Work) -> Handle:
    """Make a handler that answers with a line for each record of ``work``. The first is waited for: what cannot be done
    at all is a status and not a line."""

    def handle(api: Api, call: Call) -> Response:
        try:
            records = iter(work(api.hooks, call))
            first = next(records, None)
        except api.refusals as error:
            raise refusal(what, error) from None
        return of_lines(_records(first, records, api.refusals))

    return handle


def _records(
    first: Facts | None, rest: Iterator[Facts], refusals: tuple[type[Exception], ...]
) -> Iterator[Facts]:
    """The records, then ``{"done": true}``: without it the work was cut short."""
    try:
        if first is not None:
            yield first
            yield from rest
    except KeyError as error:
        yield {"done": False, "error": f"no such {error}"}
        return
    except refusals as error:
        yield {"done": False, "error": str(error)}
        return
    yield {"done": True}


def _replay(hooks: HookControl, call: Call) -> Iterator[Facts]:
    ids, since, until = call.get("event_ids"), call.get("since"), call.get("until")
    return hooks.replay(call["hook_id"], event_ids=ids, since=since, until=until)


def _replay_dead(hooks: HookControl, call: Call) -> Iterator[Facts]:
    return hooks.replay_dead(call.get("hook_id") or "", call.get("numbers"))


def _purge_dead(hooks: HookControl, call: Call) -> Iterator[Facts]:
    return hooks.purge_dead(call.get("hook_id") or "", call.get("numbers"))


def _dead_letters(api: Api, call: Call) -> Facts:
    return {"dead_letters": api.hooks.dead_letters(call.get("hook") or "", call["after"], call["limit"])}


def _attempts(api: Api, call: Call) -> Facts:
    return {"attempts": api.hooks.attempts(call["hook_id"], call["event_id"], call["limit"])}


def _time(name: str, meaning: str) -> Param:
    return Param(name, BODY, "number", meaning, minimum=0, maximum=LAST_MOMENT_S)


def _of_hook(
    method: str, path: str, what: str, ask: Ask, text: str, *params: Param, answer: openapi.Schema = openapi.ANY
) -> Route:
    return Route(method, V1 + path, _facts(ask, what), text, answer, params, _ERRORS)


def _work(path: str, what: str, work: Work, text: str, *params: Param, one_of: tuple[str, ...] = ()) -> Route:
    handle = _worked(what, work)
    return Route("POST", V1 + path, handle, text, openapi.LINES, params, _ERRORS, content_type=LINES, one_of=one_of)


# --- the table ------------------------------------------------------------------------------------

_PAGE = (
    Param("limit", QUERY, "integer", "how many at most", minimum=1, maximum=1000, default=100),
    Param("after", QUERY, "string", "continue after this one: next of the answer before"),
)
_ACTION = Param("action", BODY, "string", "what the token allows", choices=("publish", "play"), default="publish")
_APP = Param("app", BODY, "string", "application", required=True)
_NAME = Param("name", BODY, "string", "stream name", required=True)

_HOOK_ID = Param("hook_id", PATH, "string", "the hook's name", required=True)
_EVENT_ID = Param("event_id", PATH, "string", "the event's id, evt_...", required=True, chars=64)
_NUMBER = Param("number", PATH, "integer", "the letter's number", required=True, maximum=_MOST)
_TYPE = Param("event_type", BODY, "string", "the type of the example", default="server_start")
_LIMIT = Param("limit", QUERY, "integer", "how many at most", minimum=1, maximum=1000, default=100)
_OF_HOOK = Param("hook", QUERY, "string", "only those of this hook")
_AFTER = Param("after", QUERY, "integer", "letters above this number", maximum=_MOST, default=0)
_FROM = Param("hook_id", BODY, "string", "only those of this hook")
_NUMBERS = Param("numbers", BODY, "integer", "only these letters", many=True, maximum=_MOST)
_TO = Param("hook_id", BODY, "string", "the hook that is to get them again", required=True)
_EVENT_IDS = Param("event_ids", BODY, "string", "these events", many=True, chars=64)
_SINCE = _time("since", "Unix time from which on")
_UNTIL = _time("until", "Unix time up to which")

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/healthz", _alive, "Whether the process is alive and its event loop in time", openapi.LIVE,
        scope=PUBLIC, also={503: openapi.LIVE},
    ),
    Route(
        "GET", "/readyz", _ready, "Whether clients should be sent here, and why not", openapi.READY,
        scope=PUBLIC, also={503: openapi.READY},
    ),
    Route(
        "GET", "/health", _health, "How rtmpd does its work, and every fault", openapi.HEALTH,
        scope=LOCAL, also={503: openapi.HEALTH},
    ),
    Route(
        "GET", "/metrics", _metrics, "Metrics for Prometheus", {"type": "string"},
        (Param("format", QUERY, "string", "the text format, instead of what Accept asks for",
               choices=("prometheus", "openmetrics")),),
        (), LOCAL, TEXT, more_types=("application/openmetrics-text",),
    ),
    Route("GET", f"{V1}/openapi.json", _openapi, "This API, as OpenAPI 3.1", openapi.ANY, scope=LOCAL),
    Route("GET", f"{V1}/server", _facts(_server), "The server as a whole", openapi.SERVER),
    Route(
        "GET", f"{V1}/streams", _facts(_streams), "The streams there are",
        openapi.page("streams", openapi.STREAM), _PAGE,
    ),
    Route(
        "GET", f"{V1}/streams/{{key}}", _facts(lambda api, call: api.stream(call["key"]), "stream"),
        "One stream with its players", openapi.STREAM_WHOLE,
        (Param("key", PATH, "string", "the stream key, app/name; a / may be written as it is", required=True),),
        (404,), rest=True,
    ),
    Route(
        "GET", f"{V1}/connections", _facts(_connections), "The connections there are, oldest first",
        openapi.page("connections", openapi.CONNECTION), _PAGE,
    ),
    Route(
        "GET", f"{V1}/connections/{{conn_id}}",
        _facts(lambda api, call: api.connection(call["conn_id"]), "connection"),
        "One connection", openapi.CONNECTION,
        (Param("conn_id", PATH, "string", "connection id", required=True),), (404,),
    ),
    Route(
        "POST", f"{V1}/kick", _kick, "End a connection, or those of a stream", openapi.KICKED,
        (
            Param("conn_id", BODY, "string", "the connection to end"),
            Param("stream_key", BODY, "string", "the stream whose connections are to end"),
            Param("role", BODY, "string", "which of the stream's", choices=("publisher", "players", "all"),
                  default="publisher"),
        ),
        (404,), one_of=("conn_id", "stream_key"),
    ),
    Route(
        "GET", f"{V1}/events", _events, "Events as they happen, as server-sent events", openapi.EVENT_STREAM,
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
        "GET", f"{V1}/config", _facts(lambda api, call: api.config.show()),
        "What is in effect, and where it was set; secrets are masked", openapi.CONFIG_TEXT,
    ),
    Route(
        "GET", f"{V1}/config/diff", _facts(lambda api, call: api.config.diff()), "What a reload would change",
        openapi.CONFIG_DIFF,
    ),
    Route(
        "POST", f"{V1}/config/test", _facts(lambda api, call: api.config.test()),
        "Check the files as they are now", openapi.CONFIG_TEST,
    ),
    Route(
        "POST", f"{V1}/reload", _reload, "Read the configuration again, as SIGHUP does, and wait for the result",
        openapi.RELOADED, also={422: openapi.RELOADED},
    ),
    Route("GET", f"{V1}/log/level", _facts(_log_level), "The least level that is logged", openapi.LEVEL),
    Route(
        "PUT", f"{V1}/log/level", _facts(_set_log_level), "Log from this level on, until a restart", openapi.LEVEL,
        (Param("level", BODY, "string", "the level", True, choices=("debug", "info", "warning", "error")),),
    ),
    Route(
        "POST", f"{V1}/log/reopen", _facts(_log_reopen), "Open the log file anew, after it was renamed", openapi.DONE
    ),
    Route(
        "POST", f"{V1}/tokens", _facts(_issue, "application"), "Make a signed key for a publisher or player",
        openapi.TOKEN,
        (_ACTION, _APP, _NAME,
         Param("ttl_s", BODY, "number", "seconds it is good for", minimum=1, maximum=31536000, default=3600)),
        (409,),
    ),
    Route(
        "POST", f"{V1}/tokens/check", _facts(_check, "application"), "Whether a signed key admits, and why not",
        openapi.VERDICT,
        (Param("token", BODY, "string", "the token", True), _ACTION, _APP, _NAME), (409,),
    ),
    _of_hook("GET", "/hooks", "hook", lambda api, call: {"hooks": api.hooks.list()},
             "Every hook: what it is and how it does", answer=openapi.obj(hooks=openapi.array(openapi.ANY))),
    _of_hook("GET", "/hooks/{hook_id}", "hook", lambda api, call: api.hooks.show(call["hook_id"]),
             "One hook", _HOOK_ID),
    _of_hook("POST", "/hooks/{hook_id}/test", "hook or event type",
             lambda api, call: api.hooks.test(call["hook_id"], call["event_type"]),
             "Send an example event and wait for what becomes of it", _HOOK_ID, _TYPE),
    _of_hook("POST", "/hooks/{hook_id}/pause", "hook", _pause, "Keep its events until it is resumed", _HOOK_ID,
             answer=openapi.DONE),
    _of_hook("POST", "/hooks/{hook_id}/resume", "hook", _resume, "Deliver again, at once", _HOOK_ID,
             answer=openapi.DONE),
    _of_hook("GET", "/hooks/{hook_id}/events/{event_id}/attempts", "hook or event", _attempts,
             "The attempts to deliver an event", _HOOK_ID, _EVENT_ID, _LIMIT,
             answer=openapi.obj(attempts=openapi.array(openapi.ANY))),
    _of_hook("GET", "/events/{event_id}/why", "event", lambda api, call: api.hooks.why(call["event_id"]),
             "What each hook made of an event: its filter's verdict, its attempts", _EVENT_ID),
    _of_hook("GET", "/dead-letters", "hook", _dead_letters, "Events that a hook did not get",
             _OF_HOOK, _AFTER, _LIMIT, answer=openapi.obj(dead_letters=openapi.array(openapi.ANY))),
    _of_hook("GET", "/dead-letters/{number}", "dead letter", lambda api, call: api.hooks.dead_letter(call["number"]),
             "One dead letter, with its event", _NUMBER),
    _work("/dead-letters/replay", "hook or dead letter", _replay_dead,
          "Deliver dead letters again: some, those of a hook, or all", _FROM, _NUMBERS),
    _work("/dead-letters/purge", "hook or dead letter", _purge_dead,
          "Delete dead letters: some, those of a hook, or all", _FROM, _NUMBERS),
    _work("/replay", "hook or event", _replay,
          "Deliver events again that a hook has had, by their ids or their time", _TO, _EVENT_IDS, _SINCE, _UNTIL,
          one_of=("event_ids", "since")),
)
