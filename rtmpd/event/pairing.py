"""What begins has to end: which event ends which, and the end of what a crash cut short.

Beginnings and ends that belong together have the same key. A crash leaves beginnings without an end; the next start
tells those ends with ``reason = server_crash`` and the facts that are known; counters, which died with the process,
are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .catalogue import EVENT_TYPES

SERVER_CRASH = "server_crash"


class _Pair(NamedTuple):
    start: str
    stop: str
    subject: str  # what tells several of them apart: a name of the envelope or of the data


_PAIRS = (
    _Pair("server_start", "server_stop", "pid"),
    _Pair("connection_accept", "connection_close", "conn_id"),
    _Pair("stream_create", "stream_delete", "stream_key"),
    _Pair("publish_start", "publish_stop", "session_id"),
    _Pair("play_start", "play_stop", "session_id"),
    _Pair("recording_start", "recording_stop", "session_id"),
    _Pair("relay_start", "relay_stop", "session_id"),
)
_TIMES = ("duration_sec", "uptime_sec")
_STARTS = {pair.start: pair for pair in _PAIRS}
_STOPS = {pair.stop: pair for pair in _PAIRS}

#: The types that end something.
STOP_TYPES = frozenset(_STOPS)


class End(NamedTuple):
    """An event that is still to be told."""

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
    type: str, timestamp: int, conn_id: str, stream_key: str, data: Mapping[str, object], alive_at: float
) -> End:
    """The end of what ``type`` began at ``timestamp``; the process was alive at ``alive_at`` (both Unix seconds)."""
    stop = _STARTS[type].stop
    facts = dict(data)
    facts |= dict.fromkeys(_TIMES, round(max(alive_at - timestamp, 0.0), 3)) | {"reason": SERVER_CRASH}
    known = {name: facts[name] for name in told_by_crash(stop) if name in facts}
    return End(stop, conn_id, stream_key, known)


def told_by_crash(stop: str) -> list[str]:
    """The fields of ``stop`` that are known if a crash was the end, in the order of the catalogue."""
    known = {field.name for field in EVENT_TYPES[_STOPS[stop].start].fields}.union(_TIMES, ["reason"])
    return [field.name for field in EVENT_TYPES[stop].fields if field.name in known]
