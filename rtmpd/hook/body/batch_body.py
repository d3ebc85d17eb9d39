"""Batches: the size and id of a batch, and the answer for each of its events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

from ...event.event import Event

ID_HEADER = "X-RTMP-Batch-Id"
SIZE_HEADER = "X-RTMP-Batch-Size"

#: The status of an answer that has one for each event (RFC 4918, 11.1).
MULTI_STATUS = 207

_ID_DIGITS = 26
_TYPE = "batch"

#: An event and what it is in the body of a batch.
Item = tuple[Event, bytes]


def batch_event(events: Sequence[Event]) -> Event:
    """What stands for the batch where it is signed: an event of type ``batch`` whose id is ``bat_`` and a digest of the
    ids, so that a batch that is sent again has the id it had."""
    digest = hashlib.sha256("\n".join(event.id for event in events).encode()).hexdigest()
    return Event(_TYPE, events[0].timestamp, id=f"bat_{digest[:_ID_DIGITS]}")


def cut(items: Iterable[Item], most: int, most_bytes: int) -> Iterator[list[Item]]:
    """``items`` in their order, at most ``most`` at a time and, if ``most_bytes`` is not 0, as many as have room in it;
    one that is larger goes alone."""
    piece: list[Item] = []
    size = 0
    for item in items:
        size += len(item[1])
        if piece and (len(piece) == most or (most_bytes and size > most_bytes)):
            yield piece
            piece, size = [], len(item[1])
        piece.append(item)
    if piece:
        yield piece


def results(content: bytes) -> dict[str, int] | None:
    """The status of events by their id that an answer tells: ``{"results":[{"id":"evt_...","status":200}]}``. None if
    it is not of that form. Never raises."""
    try:
        answer = json.loads(content)
        rows = answer["results"]
        found = {row["id"]: row["status"] for row in rows}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if all(_is_result(id, status) for id, status in found.items()) else None


def _is_result(id: object, status: object) -> bool:
    return isinstance(id, str) and type(status) is int and 100 <= status <= 599
