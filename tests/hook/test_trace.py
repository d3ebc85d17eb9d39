"""Trace context of deliveries."""

from __future__ import annotations

import os
import re

from rtmpd.event.birth import EventIds, trace_id_of
from rtmpd.event.event import Event
from rtmpd.hook.sink.webhook import traceparent


def event(id: str) -> Event:
    return Event("publish_start", 0, id=id)


def test_the_trace_is_the_128_bits_of_the_event_id() -> None:
    id = EventIds(lambda n: b"\x01" * n).next(0x0123456789AB)
    assert trace_id_of(id) == "0123456789ab" + "01" * 10


def test_each_try_of_each_hook_is_a_span_of_its_own() -> None:
    one = event(EventIds(os.urandom).next(1_700_000_000_000))
    found = {traceparent(one, hook, attempt) for hook in ("a", "b") for attempt in (1, 2)}
    assert len(found) == 4
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", text) for text in found)
    assert {text.split("-")[1] for text in found} == {trace_id_of(one.id)}
    assert traceparent(one, "a", 1) in found


def test_an_id_of_somebody_else_has_no_trace() -> None:
    for id in ("", "evt_1", "evt_" + "0" * 26, "evt_" + "I" * 26, "msg_0000000000000000000000000A"):
        assert traceparent(event(id), "a", 1) == "", id
