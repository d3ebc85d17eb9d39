"""Decides from one attempt what happens to the event and to the lane.

====================================  =====================  =========================================================
the try, by its fault (``fault``)     the event              the lane
====================================  =====================  =========================================================
success                               Settled                goes on; an open breaker closes
the event's (400, 413, ...), a bug    Settled as dead        goes on
the endpoint's, no attempts left      Settled as dead        as the next
the endpoint's (5xx, timeout, ...)    Again                  goes on, or pauses on evidence (``health``)
the credentials' (401, ...)           Again, no attempt      the breaker opens at once
                                      spent
not sent at all                       Again, no attempt      as the fault says
                                      spent
gone (410)                            dead, or LeftToFeed    disabled until it is resumed or replaced
any but a success or the event's, of  dead, or LeftToFeed    ends
a lane that ends or is disabled
====================================  =====================  =========================================================

``LeftToFeed`` is for lanes whose events are in the log: what they leave undone comes again, to the lane that uses the
feed next. A hook with ``max_attempts = 1`` gets each event once, and its lane learns nothing from what became of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ...errors import DeliveryError, NotSentError
from .. import fault
from ..redelivery import ERROR, TIMEOUT
from . import deadletter
from .health import Health
from .schedule import Delivery


@dataclass(frozen=True, slots=True)
class Settled:
    """The event has come to its end: delivered, or ``dead`` for that reason (``deadletter.REASONS``)."""

    dead: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """The event is tried again at that moment, monotonic seconds."""

    at: float


@dataclass(frozen=True, slots=True)
class LeftToFeed:
    """The event is not settled, and this lane has nothing more to do with it."""


Outcome = Settled | Again | LeftToFeed

DELIVERED: Final = Settled()
LEFT: Final = LeftToFeed()


@dataclass(frozen=True, slots=True)
class Situation:
    """The lane at the end of a try: whether its events are in the log, whether it ends, whether it is disabled."""

    has_feed: bool
    is_ending: bool
    is_disabled: bool


def judge(
    delivery: Delivery, error: DeliveryError, verdict: str, lane: Situation, health: Health, now: float
) -> Outcome:
    """The outcome of a try that failed with ``error``, by the fault ``verdict``. Spends an attempt of the delivery if
    it is to pay, and notes why it may have been received."""
    retries = health.retries and not lane.is_ending
    was_not_sent = isinstance(error, NotSentError)
    if not (retries and (verdict == fault.AUTH or was_not_sent)):
        delivery.attempts += 1
    if not was_not_sent:
        delivery.reason = TIMEOUT if error.code == "timeout" else ERROR
    if error.code == deadletter.BUG:
        return Settled(deadletter.BUG)
    if verdict == fault.EVENT:
        return Settled(deadletter.REFUSED)
    is_gone = lane.is_disabled or (verdict == fault.GONE and retries)
    if lane.has_feed and (lane.is_ending or is_gone):
        return LEFT
    if is_gone:
        return Settled(deadletter.DISABLED)
    if not retries:
        return Settled(deadletter.ATTEMPTS if verdict == fault.ENDPOINT else deadletter.REFUSED)
    if verdict == fault.ENDPOINT and health.is_last(delivery.attempts):
        return Settled(deadletter.ATTEMPTS)
    return Again(health.retry_at(delivery.attempts, error, now))
