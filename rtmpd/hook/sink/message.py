"""One POST of a webhook before it goes out: the body, what travels beside it, and who it is signed for."""

from __future__ import annotations

from typing import NamedTuple

from ...event.event import Event
from ..body.schema import Body, tries_of
from ..trace import traceparent


class Message(NamedTuple):
    """What is posted: ``about`` is the event that it is signed for."""

    body: Body
    headers: dict[str, str]
    about: Event


def headers_of(event: Event, hook_id: str) -> dict[str, str]:
    """What travels beside the body of one event. Never switches."""
    headers = {
        "X-RTMP-Event-Id": event.id,
        "X-RTMP-Event-Seq": str(event.seq),
        "X-RTMP-Severity": event.severity,
    }
    attempt, redelivered = tries_of(event)
    if attempt:
        headers["X-RTMP-Attempt"] = str(attempt)
    if redelivered:
        headers["X-RTMP-Redelivered"] = redelivered
    if trace := traceparent(event, hook_id, attempt or 1):
        headers["traceparent"] = trace
    return headers
