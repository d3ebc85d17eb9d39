"""Decides what is at fault when a delivery fails, which determines what happens next.

==========  =======================================================  ==========================================
fault       answers                                                  who pays
==========  =======================================================  ==========================================
event       400, 413, 415, 422, every other 3xx and 4xx, an exit     the event: it is dead at once
            status that is not 75
endpoint    408, 425, 429, 5xx, timeouts, DNS, TLS, network, exit    the event one attempt; the lane pauses on
            status 75, a signal                                      evidence only (``lane.health``)
auth        401, 403, 407                                            the lane, which waits for better credentials;
                                                                     the event nothing
gone        410                                                      the lane: it is disabled
==========  =======================================================  ==========================================

A ``NotSentError`` costs the event nothing, whoever is at fault, and patterns do not change whose it is.
Any other exception than a DeliveryError is a bug of ours or a plugin's; the lane buries the event without asking here.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from ..errors import DeliveryError, NotSentError

EVENT = "event"
ENDPOINT = "endpoint"
AUTH = "auth"
GONE = "gone"

#: The longest that an endpoint can hold its lane with one answer.
RETRY_AFTER_MAX_S = 86400.0

_STATUS = "status:"
_OF_STATUS = {"401": AUTH, "403": AUTH, "407": AUTH, "408": ENDPOINT, "410": GONE, "425": ENDPOINT, "429": ENDPOINT}
_SECONDS = re.compile(r"\d{1,18}(?:\.\d{1,9})?", re.ASCII)


def fault_of(error: DeliveryError, retryable: tuple[str, ...] = ()) -> str:
    """One of the faults above.

    ``retryable`` are patterns that say instead of the table what is worth another try: ``status:503`` is that
    status, any other text is looked for in the error's words and code. An error of the endpoint that fits none
    of them is the event's. Never raises.
    """
    if isinstance(error, NotSentError):
        return error.fault
    if retryable and any(_fits(pattern, error) for pattern in retryable):
        return ENDPOINT
    fault = _by_table(error)
    return EVENT if retryable and fault == ENDPOINT else fault


def _by_table(error: DeliveryError) -> str:
    if error.code.startswith(_STATUS):
        status = error.code.removeprefix(_STATUS)
        return ENDPOINT if status.startswith("5") else _OF_STATUS.get(status, EVENT)
    return error.fault


def _fits(pattern: str, error: DeliveryError) -> bool:
    if pattern.startswith(_STATUS):
        return error.code == pattern
    return pattern.lower() in f"{error} {error.code}".lower()


def retry_after_s(value: str, date: str, wall: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for (RFC 9110, 10.2.3), from 0 to ``RETRY_AFTER_MAX_S``.

    A date is read against ``date``, the answer's own Date header, so that it does not matter whose clock is
    wrong; ``wall`` (Unix seconds) stands in where there is none. What has passed is 0, what cannot be read is
    None.
    """
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), RETRY_AFTER_MAX_S)
    until = _unix_time(value)
    if until is None:
        return None
    now = _unix_time(date.strip())
    return min(max(until - (wall if now is None else now), 0.0), RETRY_AFTER_MAX_S)


def _unix_time(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        # An HTTP date is GMT (RFC 9110, 5.6.7); a moment without a zone would be read as local time.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
