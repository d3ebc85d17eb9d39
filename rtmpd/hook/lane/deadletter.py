"""Dead letters: counted, the latest ones kept, and posted to a URL if configured."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from ...clock import Clock, rfc3339
from ...event.event import Event
from ..body.schema import time_of

REFUSED = "refused"
ATTEMPTS = "attempts"
EXPIRED = "expired"
DISABLED = "disabled"
BUG = "bug"

#: Every reason for which an event can be dead.
REASONS = (REFUSED, ATTEMPTS, EXPIRED, DISABLED, BUG)

_KEPT = 100

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that is dead. ``number`` counts the dead letters of all hooks, also of those in the store; ``reason``
    is one of ``REASONS``, ``attempts`` the tries that were made, ``at`` Unix seconds."""

    number: int
    event: Event
    hook_id: str
    reason: str
    attempts: int
    last_error: str
    at: float

    def json(self) -> bytes:
        """What a dead-letter URL is sent; the times are RFC 3339 in UTC."""
        facts = {
            "hook_id": self.hook_id,
            "attempts": self.attempts,
            "last_error": self.last_error,
            "original_time": time_of(self.event),
            "dead_letter_time": rfc3339(self.at),
        }
        return b'{"event":' + self.event.json() + b"," + _encode(facts).encode("utf-8", "replace")[1:]


@dataclass(frozen=True, slots=True)
class Letter(Event):
    """A dead letter in the form that hooks deliver: the event with another body."""

    body: bytes = b""

    def json(self) -> bytes:
        return self.body


class Numbers:
    """Numbers for dead letters, wherever they are kept: ``last`` is the last that was given."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        """The next number."""
        self.last += 1
        return self.last


class DeadLetters:
    """The dead letters of one hook. ``forward`` takes each of them to its URL, ``store`` writes it down; neither waits,
    and both may be None."""

    __slots__ = ("_clock", "_forward", "_hook_id", "_numbers", "_store", "counts", "kept")

    def __init__(
        self,
        hook_id: str,
        clock: Clock,
        numbers: Numbers,
        forward: Callable[[Event], None] | None = None,
        store: Callable[[DeadLetter], None] | None = None,
    ) -> None:
        self._hook_id = hook_id
        self._clock = clock
        self._numbers = numbers
        self._forward = forward
        self._store = store
        self.counts: Counter[str] = Counter()
        self.kept: deque[DeadLetter] = deque(maxlen=_KEPT)

    def bury(self, event: Event, reason: str, attempts: int, last_error: str) -> None:
        """The event is dead."""
        number, at = self._numbers.next(), self._clock.wall()
        letter = DeadLetter(number, event, self._hook_id, reason, attempts, last_error, at)
        self.counts[reason] += 1
        self.kept.append(letter)
        if self._store:
            self._store(letter)
        if self._forward:
            self._forward(_enveloped(letter))


def _enveloped(letter: DeadLetter) -> Letter:
    event = letter.event
    return Letter(
        event.type,
        event.timestamp,
        event.conn_id,
        event.stream_key,
        event.data,
        event.id,
        event.seq,
        event.severity,
        body=letter.json(),
    )
