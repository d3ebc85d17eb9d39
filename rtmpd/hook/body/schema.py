"""An event as JSON, in the schemas that receivers can ask for.

Schema 1 is ``event.json()``: five keys. Schema 2 has the same five, then what otherwise travels beside the body::

    {"type":...,"timestamp":...,"conn_id":...,"stream_key":...,"data":{...},
     "id":"evt_01J...","seq":7,"severity":"info","time":"2026-01-02T03:04:05.678Z","node":"ingest-1"}
"""

from __future__ import annotations

import json
from typing import NamedTuple

from ...clock import rfc3339
from ...event.birth import ms_of
from ...event.event import Event
from ..redelivery import Redelivery

#: Compact JSON, without NaN.
encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Body(NamedTuple):
    """What is sent: ``headers`` are those that belong to this form of it, besides the Content-Type."""

    content_type: str
    headers: dict[str, str]
    content: bytes


class Tries(NamedTuple):
    """``attempt`` counts from 1, 0 where nothing says that it is not the first; ``redelivered`` tells why the event
    may have arrived before, "" if it cannot have."""

    attempt: int
    redelivered: str


_FIRST = Tries(0, "")


def tries_of(event: Event) -> Tries:
    """What is known of the tries of an event."""
    return Tries(event.attempt, event.redelivered) if isinstance(event, Redelivery) else _FIRST


def json_bytes(value: object) -> bytes:
    """``value`` as UTF-8."""
    return encode_json(value).encode("utf-8", "replace")


def schema_2(event: Event, node: str, with_tries: bool = False) -> bytes:
    """The event with everything that is known of it; ``with_tries`` adds ``attempt`` and ``redelivered`` where they
    are known."""
    more: dict[str, object] = {
        "id": event.id,
        "seq": event.seq,
        "severity": event.severity,
        "time": time_of(event),
        "node": node,
    }
    if with_tries:
        more |= {name: value for name, value in tries_of(event)._asdict().items() if value}
    return event.json()[:-1] + b"," + json_bytes(more)[1:]


def time_of(event: Event) -> str:
    """Its birth in RFC 3339, UTC, with the milliseconds that its id begins with; ``.000`` if the id tells another
    second (the clock was set back) or none."""
    ms = ms_of(event.id)
    return rfc3339(ms / 1000 if ms // 1000 == event.timestamp else event.timestamp)
