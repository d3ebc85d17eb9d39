"""What begins has to end: which event ends which, and the end of what a crash cut short.

Beginnings and ends that belong together have the same key. A crash leaves beginnings without an end; the next start
emits those ends with ``reason = server_crash`` and the facts that are known. Counters and durations died with the
process and are left out; ``last_seen`` and ``at_least_sec`` say what the last sign of life proves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .catalogue import EVENT_TYPES

SERVER_CRASH = "server_crash"


class _Pair(NamedTuple):
    start: str
    stop: str
    subject: str  # the name in the envelope or the data whose value identifies one of several


_PAIRS = (
    _Pair("server_start", "server_stop", "pid"),
    _Pair("connection_accept", "connection_close", "conn_id"),
    _Pair("stream_create", "stream_delete", "stream_key"),
    _Pair("publish_start", "publish_stop", "session_id"),
    _Pair("play_start", "play_stop", "session_id"),
    _Pair("recording_start", "recording_stop", "session_id"),
    _Pair("relay_start", "relay_stop", "session_id"),
    _Pair("pull_start", "pull_stop", "session_id"),
)
#: What only an end has that a crash kept from being emitted.
AFTER_CRASH = ("last_seen", "at_least_sec")
_STARTS = {pair.start: pair for pair in _PAIRS}
_STOPS = {pair.stop: pair for pair in _PAIRS}

#: The types that end something.
STOP_TYPES = frozenset(_STOPS)


class End(NamedTuple):
    """A stop event that is still to be emitted."""

    type: str
    conn_id: str
    stream_key: str
    data: dict[str, object]


def begins(type: str, conn_id: str, stream_key: str, data: Mapping[str, object]) -> str:
    """The key of what the event begins, "" if it begins nothing."""
    return _key(_STARTS.get(type), conn_id, stream_key, data)


def ends(type: str, conn_id: str, stream_key: str, data: Mapping[str, object]) -> str:
    """The key of what the event ends, "" if it ends nothing."""
    return _key(_STOPS.get(type), conn_id, stream_key, data)


def _key(pair: _Pair | None, conn_id: str, stream_key: str, data: Mapping[str, object]) -> str:
    if pair is None:
        return ""
    subject = {"conn_id": conn_id, "stream_key": stream_key}.get(pair.subject) or data.get(pair.subject, "")
    return f"{pair.start} {subject}"


def end_by_crash(
    type: str, began_at: float, conn_id: str, stream_key: str, data: Mapping[str, object], alive_at: float
) -> End:
    """Return the end of what ``type`` began at ``began_at``; the process was alive at ``alive_at`` (both Unix seconds).
    A beginning is itself a sign of life."""
    stop = _STARTS[type].stop
    seen_at = max(alive_at, began_at)
    facts = dict(data) | {
        "reason": SERVER_CRASH,
        "last_seen": int(seen_at),
        "at_least_sec": round(seen_at - began_at, 3),
    }
    known = {name: facts[name] for name in told_by_crash(stop) if name in facts}
    return End(stop, conn_id, stream_key, known)


def told_by_crash(stop: str) -> list[str]:
    """The fields of ``stop`` that are known if a crash was the end, in the order of the catalogue."""
    known = {field.name for field in EVENT_TYPES[_STOPS[stop].start].fields}.union(AFTER_CRASH, ["reason"])
    return [field.name for field in EVENT_TYPES[stop].fields if field.name in known]
