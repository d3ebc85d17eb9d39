"""Trace context for deliveries (W3C Trace Context, 2021): what happens at the receiver can be found by the event.

The trace id is the 128 bits of the event's id, so each can be computed from the other. Every attempt is a separate
span.
"""

from __future__ import annotations

import hashlib

from ..event.birth import number_of
from ..event.event import Event


def trace_id(event: Event) -> str:
    """32 hex digits, "" for an event whose id is not one of ours."""
    number = number_of(event.id)
    return f"{number:032x}" if number > 0 else ""


def traceparent(event: Event, hook_id: str, attempt: int) -> str:
    """The header of that name for one try of one hook, sampled; "" without a trace id."""
    trace = trace_id(event)
    if not trace:
        return ""
    span = hashlib.sha256(f"{trace} {hook_id} {attempt}".encode()).hexdigest()[:16]
    return f"00-{trace}-{span}-01"
