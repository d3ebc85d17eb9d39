"""The worker protocol: one JSON line per event to the worker, one line per event back, in any order.

::

    {"id":"evt_01...","seq":7,"severity":"info","attempt":1,"event":{"type":"publish_start",...}}
    {"id":"evt_01...","seq":8,"severity":"info","attempt":2,"redelivered":"timeout","event":{...}}

==================  ==========================================================
answer              meaning
==================  ==========================================================
``ack ID``          delivered
``retry ID [S]``    worth another try, not before S seconds
``dead ID [TEXT]``  failed for good
==================  ==========================================================

``id`` is the first key, and no text in a line can hold a line break, so that tools which know nothing of JSON can cut
it out. ``event`` is the body of schema 1, the bytes that a webhook gets.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from ...errors import DeliveryError, PermanentDeliveryError, TransientDeliveryError
from ...event.event import Event
from ..redelivery import Redelivery

PROTOCOL = "1"
NOT_SENT = "not_sent"

_LONGEST_WAIT_S = 86400.0
_REASON_CHARS = 500
_SHOWN_BYTES = 80
_ANSWERABLE = re.compile(r"[!#-\[\]-~]{1,256}")  # one word, and the same in JSON


class Answer(NamedTuple):
    """One answer. ``outcome`` is None if the event is delivered."""

    id: bytes
    outcome: DeliveryError | None


class BadAnswer(ValueError):
    """A line that is not an answer."""


def answer(line: bytes) -> Answer:
    """What a line of the worker says. Raises BadAnswer."""
    verb, _, rest = line.partition(b" ")
    if verb == b"ack":
        return Answer(rest.strip(), None)
    id, _, words = rest.strip().partition(b" ")
    if verb == b"retry":
        return Answer(id, TransientDeliveryError("the worker asks for another try", "retry", _wait_s(words, line)))
    if verb == b"dead":
        reason = words.decode("utf-8", "replace").strip()[:_REASON_CHARS]
        return Answer(id, PermanentDeliveryError(reason or "the worker gave it up", "dead"))
    raise BadAnswer(f"wrote a line that is not an answer: {shown(line)}")


def _wait_s(words: bytes, line: bytes) -> float | None:
    if not words.strip():
        return None
    try:
        wait_s = float(words)
    except ValueError:
        wait_s = -1.0
    if not math.isfinite(wait_s) or wait_s < 0:
        raise BadAnswer(f"wrote no number of seconds: {shown(line)}")
    return min(wait_s, _LONGEST_WAIT_S)


def shown(line: bytes) -> str:
    """The beginning of a line, for an error."""
    return repr(line[:_SHOWN_BYTES].decode("utf-8", "replace"))


def has_answerable_id(event: Event) -> bool:
    """Whether an answer can name the event. The ids that rtmpd makes can all be named."""
    return _ANSWERABLE.fullmatch(event.id) is not None


def line(event: Event) -> bytes:
    """The line for an event, whose id must be answerable."""
    again = ""
    attempt = 1
    if isinstance(event, Redelivery):
        attempt = event.attempt
        again = f'"redelivered":"{event.redelivered}",' if event.redelivered else ""
    facts = f'{{"id":"{event.id}","seq":{event.seq},"severity":"{event.severity}","attempt":{attempt},{again}"event":'
    return b"%b%b}\n" % (facts.encode(), event.json())
