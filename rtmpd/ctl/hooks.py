"""The commands about hooks, dead letters, replays and events."""

from __future__ import annotations

import json
import math
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ..exits import NO
from .client import V1, Client, segment
from .commands import Answer
from .text import age, facts, plain, safe, shortened, table

_COLUMNS = "id type state executed failed queued active held oldest retried dropped dead".split()
_AGES = {"oldest_sec": "oldest", "retry_in_sec": "retry_in"}
_SHOWN_ERROR = 60


def listing(client: Client, words: Namespace) -> Answer:
    """Every hook and its state."""
    document = client.get(f"{V1}/hooks")
    hooks = [_for_people(hook) | {"state": _state(hook)} for hook in document["hooks"]]
    columns = [name for name in _COLUMNS if any(name in hook for hook in hooks)] or ["id"]
    rows = [[_cell(hook.get(name)) for name in columns] for hook in hooks]
    return Answer(document, table([name.upper() for name in columns], rows))


def _cell(value: object) -> object:
    """Add up counts by reason."""
    return sum(value.values()) if isinstance(value, dict) else value


def show(client: Client, words: Namespace) -> Answer:
    """One hook."""
    document = client.get(_hook(words))
    return Answer(document, facts(_for_people(document) | {"state": _state(document)}))


def test(client: Client, words: Namespace) -> Answer:
    """Send an example event to a hook and wait for the result."""
    document = client.post(f"{_hook(words)}/test", {"event_type": words.event})
    return Answer(document, facts(document), 0 if document["delivered"] else NO)


def pause(client: Client, words: Namespace) -> Answer:
    """Keep a hook's events until it is resumed."""
    return Answer(client.post(f"{_hook(words)}/pause"), [f"{safe(words.hook)} is paused; its events are kept"])


def resume(client: Client, words: Namespace) -> Answer:
    """Deliver a hook's events again."""
    return Answer(client.post(f"{_hook(words)}/resume"), [f"{safe(words.hook)} delivers again"])


def why(client: Client, words: Namespace) -> Answer:
    """Which hooks got an event, which did not, and why: one line per hook, or all details with --verbose."""
    document = client.get(f"{V1}/events/{segment(words.event_id)}/why")
    event = document["event"] or {}
    about = " ".join(safe(event[name]) for name in ("type", "stream_key", "conn_id") if event.get(name))
    rows = [
        [hook["hook_id"], hook["state"], len(hook["attempts"]), _last_try(hook["attempts"])]
        for hook in document["hooks"]
    ]
    lines = [f"{safe(document['event_id'])}  {about}".rstrip(), *table(["HOOK", "STATE", "ATTEMPTS", "LAST"], rows)]
    return Answer(document, [*lines, "", *facts(_for_people(document))] if words.verbose else lines)


def _last_try(attempts: list[dict[str, Any]]) -> str:
    """Return the time and the result of the last attempt."""
    if not attempts:
        return "-"
    last = attempts[-1]
    what = last["outcome"] if last["outcome"] == "delivered" else shortened(last["error"] or last["code"], _SHOWN_ERROR)
    return f"{_moment(last['at'])} {what}"


def attempts(client: Client, words: Namespace) -> Answer:
    """The attempts to deliver an event to a hook."""
    document = client.get(f"{_hook(words)}/events/{segment(words.event_id)}/attempts", {"limit": words.limit})
    return Answer(document, _rows([_for_people(one) for one in document["attempts"]], "there were no attempts"))


def _state(hook: dict[str, Any]) -> str:
    """Return the state, with who paused the hook or when it is tried again."""
    state = str(hook.get("state", "-"))
    if state == "paused" and hook.get("paused_by"):
        return f"{state} by {safe(hook['paused_by'])}"
    if state in ("retrying", "tripped") and hook.get("retry_in_sec"):
        return f"{state}, again in {age(math.ceil(hook['retry_in_sec']))}"
    return state


def _for_people(document: Any) -> Any:
    """Return a copy with times in RFC 3339 and durations as ages."""
    if isinstance(document, list):
        return [_for_people(one) for one in document]
    if not isinstance(document, dict):
        return document
    shown: dict[str, Any] = {}
    for name, value in document.items():
        if name in _AGES:
            shown[_AGES[name]] = age(math.ceil(value)) if value else "-"
        elif name == "at" and isinstance(value, int | float):
            shown[name] = _moment(value)
        else:
            shown[name] = value if name == "event" else _for_people(value)
    return shown


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _hook(words: Namespace) -> str:
    return f"{V1}/hooks/{segment(words.hook)}"


def _facts(document: Any) -> Answer:
    return Answer(document, facts(document))


def _rows(found: list[dict[str, Any]], none: str) -> list[str]:
    """Format documents in columns; nested values are left to ``show``."""
    if not found:
        return [none]
    columns = [name for name, value in found[0].items() if not isinstance(value, dict | list)]
    return table([name.upper() for name in columns], [[one.get(name) for name in columns] for one in found])


# --- dead letters and replays ---------------------------------------------------------------------


def letters(client: Client, words: Namespace) -> Answer:
    """Events that could not be delivered to a hook."""
    query = {"hook": words.hook, "after": words.after, "limit": words.limit}
    document = client.get(f"{V1}/dead-letters", query)
    return Answer(document, _rows([_for_people(one) for one in document["dead_letters"]], "there are no dead letters"))


def letter(client: Client, words: Namespace) -> Answer:
    """One dead letter with its event."""
    document = client.get(f"{V1}/dead-letters/{words.number}")
    return Answer(document, facts(_for_people(document)))


def letters_replay(client: Client, words: Namespace) -> Answer:
    """Deliver dead letters again."""
    return _work(client, f"{V1}/dead-letters/replay", _chosen(words), words)


def letters_purge(client: Client, words: Namespace) -> Answer:
    """Delete dead letters."""
    return _work(client, f"{V1}/dead-letters/purge", _chosen(words), words)


def replay(client: Client, words: Namespace) -> Answer:
    """Deliver events from the store to a hook again."""
    asked = {"hook_id": words.hook, "event_ids": words.event_ids, "since": words.since, "until": words.until}
    return _work(client, f"{V1}/replay", _given(asked), words)


def _chosen(words: Namespace) -> dict[str, object]:
    return _given({"hook_id": words.hook, "numbers": words.numbers})


def _given(asked: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in asked.items() if value not in (None, "", [])}


def _work(client: Client, path: str, asked: Mapping[str, object], words: Namespace) -> Answer:
    """Run a long operation. On a terminal its progress is one line that is rewritten; it goes to standard error,
    because it is not a result."""
    last: dict[str, Any] = {}
    latest: dict[str, Any] = {}
    live = sys.stderr.isatty() and not words.json
    for record in client.lines(path, asked):
        if words.json:
            print(json.dumps(record), flush=True)
        elif live:
            print(f"\r\x1b[K{_progress(record)}", end="", file=sys.stderr, flush=True)
        latest, last = (latest, record) if "done" in record and len(record) <= 2 else (record, record)
    if live:
        print("\r\x1b[K", end="", file=sys.stderr)
    if last.get("done") is not True:
        reason = safe(last.get("error", "the answer was cut short"))
        return Answer(None, [_progress(latest), f"stopped early: {reason}"], NO)
    return Answer(None, [_progress(latest) if latest else "there was nothing to do"])


def _progress(record: Mapping[str, Any]) -> str:
    return "  ".join(f"{safe(name)} {plain(value)}" for name, value in record.items())


# --- events ---------------------------------------------------------------------------------------


def events_tail(client: Client, words: Namespace) -> Answer:
    """Events as they happen, one per line."""
    query = {"type": words.type, "stream": words.stream, "count": words.count or None, "wait_s": words.wait or None}
    for line in _tailed(client.events(query), words.json):
        print(line, flush=True)
    return Answer(None, [])


def _tailed(events: Iterator[dict[str, Any]], as_json: bool) -> Iterator[str]:
    for event in events:
        if as_json:
            yield json.dumps(event)
            continue
        when = time.strftime("%H:%M:%S", time.localtime(event["timestamp"]))
        data = [f"{name}={_value(value)}" for name, value in event["data"].items()]
        subject = [safe(event[name]) for name in ("conn_id", "stream_key") if event[name]]
        yield " ".join([when, f"{event['severity']:<8}", safe(event["type"]), *subject, *data, event["id"]])


def _value(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | list | bool) else safe(value)
