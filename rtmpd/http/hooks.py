"""The routes of hooks: their state, dead letters and replays.

Long work answers with a line for each step, so that the client sees the progress. It goes on as long as the
client reads: to leave is to stop, and what was done is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from ..clock import LAST_MOMENT_S
from . import schema
from .api import Api, Facts, HookControl
from .problem import refusal
from .response import LINES, Response, of_json, of_lines
from .route import BODY, PATH, QUERY, V1, Call, Param, Route

_MOST: Final = 2**53
_ERRORS: Final = (404, 409)

Ask = Callable[[HookControl, Call], Any]
Work = Callable[[HookControl, Call], Iterator[Facts]]


def _asked(what: str, ask: Ask) -> Callable[[Api, Call], Response]:
    """A handler that answers with what ``ask`` returns."""

    def handle(api: Api, call: Call) -> Response:
        try:
            answer = ask(api.hooks, call)
        except api.refusals as error:
            raise refusal(what, error) from None
        return of_json(answer if isinstance(answer, dict) else {"ok": True})

    return handle


def _worked(what: str, work: Work) -> Callable[[Api, Call], Response]:
    """A handler that answers with a line for each record of ``work``. The first is waited for: what cannot be done
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


def _dead_letters(hooks: HookControl, call: Call) -> Facts:
    return {"dead_letters": hooks.dead_letters(call.get("hook") or "", call["after"], call["limit"])}


def _attempts(hooks: HookControl, call: Call) -> Facts:
    return {"attempts": hooks.attempts(call["hook_id"], call["event_id"], call["limit"])}


def _time(name: str, meaning: str) -> Param:
    return Param(name, BODY, "number", meaning, minimum=0, maximum=LAST_MOMENT_S)


def _route(method: str, path: str, what: str, ask: Ask, text: str, *params: Param, answer: Any = schema.ANY) -> Route:
    return Route(method, V1 + path, _asked(what, ask), text, answer, params, _ERRORS)


def _work(path: str, what: str, work: Work, text: str, *params: Param, one_of: tuple[str, ...] = ()) -> Route:
    handle = _worked(what, work)
    return Route("POST", V1 + path, handle, text, schema.LINES, params, _ERRORS, content_type=LINES, one_of=one_of)


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
    _route("GET", "/hooks", "hook", lambda hooks, call: {"hooks": hooks.list()},
           "Every hook: what it is and how it does", answer=schema.obj(hooks=schema.array(schema.ANY))),
    _route("GET", "/hooks/{hook_id}", "hook", lambda hooks, call: hooks.show(call["hook_id"]), "One hook", _HOOK_ID),
    _route("POST", "/hooks/{hook_id}/test", "hook or event type",
           lambda hooks, call: hooks.test(call["hook_id"], call["event_type"]),
           "Send an example event and wait for what becomes of it", _HOOK_ID, _TYPE),
    _route("POST", "/hooks/{hook_id}/pause", "hook", lambda hooks, call: hooks.pause(call["hook_id"]),
           "Keep its events until it is resumed", _HOOK_ID, answer=schema.DONE),
    _route("POST", "/hooks/{hook_id}/resume", "hook", lambda hooks, call: hooks.resume(call["hook_id"]),
           "Deliver again, at once", _HOOK_ID, answer=schema.DONE),
    _route("GET", "/hooks/{hook_id}/events/{event_id}/attempts", "hook or event", _attempts,
           "The attempts to deliver an event", _HOOK_ID, _EVENT_ID, _LIMIT,
           answer=schema.obj(attempts=schema.array(schema.ANY))),
    _route("GET", "/events/{event_id}/why", "event", lambda hooks, call: hooks.why(call["event_id"]),
           "What each hook made of an event: its filter's verdict, its attempts", _EVENT_ID),
    _route("GET", "/dead-letters", "hook", _dead_letters, "Events that a hook did not get", _OF_HOOK, _AFTER, _LIMIT,
           answer=schema.obj(dead_letters=schema.array(schema.ANY))),
    _route("GET", "/dead-letters/{number}", "dead letter", lambda hooks, call: hooks.dead_letter(call["number"]),
           "One dead letter, with its event", _NUMBER),
    _work("/dead-letters/replay", "hook or dead letter", _replay_dead,
          "Deliver dead letters again: some, those of a hook, or all", _FROM, _NUMBERS),
    _work("/dead-letters/purge", "hook or dead letter", _purge_dead,
          "Delete dead letters: some, those of a hook, or all", _FROM, _NUMBERS),
    _work("/replay", "hook or event", _replay,
          "Deliver events again that a hook has had, by their ids or their time", _TO, _EVENT_IDS, _SINCE, _UNTIL,
          one_of=("event_ids", "since")),
)  # fmt: skip
