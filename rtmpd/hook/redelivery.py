"""Labels of events that the receiver may already have got."""

from __future__ import annotations

from dataclasses import dataclass

from ..event.event import Event, copied

TIMEOUT = "timeout"
ERROR = "error"
RECOVERY = "recovery"
REPLAY = "replay"

#: Why an event is sent again: no answer in time; an answer that was no success, or none as the connection broke; a
#: crash after which nobody knows what had been answered; the request of an operator.
REASONS = (TIMEOUT, ERROR, RECOVERY, REPLAY)


@dataclass(frozen=True, slots=True)
class Redelivery(Event):
    """The event as it is given to a hook once more. ``attempt`` counts from 1, ``redelivered`` is one of ``REASONS``,
    or "" if the event cannot have been received."""

    attempt: int = 1
    redelivered: str = ""

    def as_env(self) -> dict[str, str]:
        """The event's, and ``RTMP_ATTEMPT`` and ``RTMP_REDELIVERED``."""
        env = Event.as_env(self) | {"RTMP_ATTEMPT": str(self.attempt)}
        return env | {"RTMP_REDELIVERED": self.redelivered} if self.redelivered else env


def again(event: Event, attempt: int, reason: str) -> Redelivery:
    """The same event, marked as a further try."""
    redelivery = copied(event, Redelivery)
    object.__setattr__(redelivery, "attempt", attempt)
    object.__setattr__(redelivery, "redelivered", reason)
    return redelivery
