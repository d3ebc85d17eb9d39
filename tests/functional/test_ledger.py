"""The checker of events finds the faults that are planted, and finds none in a good run."""

from __future__ import annotations

import pytest

from tests.support import ledger
from tests.support.ledger import Event


def event(type_: str, conn_id: str = "c000001", stream_key: str = "live/a", **data: object) -> Event:
    return {"type": type_, "timestamp": 1, "conn_id": conn_id, "stream_key": stream_key, "data": data}


def good_run() -> list[Event]:
    return [
        event("connection_accept", stream_key=""),
        event("stream_create"),
        event("publish_start", session_id="s1"),
        event("connection_accept", "c000002", ""),
        event("play_start", "c000002", session_id="s2"),
        event("subscriber_count", "c000002", count=1),
        event("play_stop", "c000002", session_id="s2", reason="unpublish"),
        event("subscriber_count", "c000002", count=0),
        event("connection_close", "c000002"),
        event("publish_stop", session_id="s1", reason="unpublish"),
        event("stream_delete"),
        event("connection_close"),
    ]


def test_a_good_run_has_no_faults() -> None:
    assert ledger.faults(good_run()) == []


@pytest.mark.parametrize("index", range(len(good_run())))
def test_any_event_told_twice_is_found_but_for_a_count(index: int) -> None:
    run = good_run()
    run.insert(index, run[index])
    assert bool(ledger.faults(run)) == (run[index]["type"] != "subscriber_count")


@pytest.mark.parametrize("index", range(len(good_run())))
def test_any_event_left_out_is_found_but_for_a_count(index: int) -> None:
    run = good_run()
    left_out = run.pop(index)
    assert bool(ledger.faults(run)) == (left_out["type"] != "subscriber_count")


@pytest.mark.parametrize(
    ("index", "change"),
    [
        (2, {"data": {}}),
        (5, {"data": {"count": 2}}),
        (6, {"data": {"session_id": "s2"}}),
        (6, {"stream_key": "live/b"}),
        (9, {"conn_id": "c000003"}),
        (11, {"timestamp": 0}),
        (11, {"extra": 1}),
    ],
)
def test_a_changed_event_is_found(index: int, change: Event) -> None:
    run = good_run()
    run[index] = {**run[index], **change}
    assert ledger.faults(run)


def test_a_stop_before_its_start_is_found() -> None:
    run = good_run()
    run[4], run[6] = run[6], run[4]
    assert ledger.faults(run)


def test_a_stream_deleted_under_its_publisher_is_found() -> None:
    run = good_run()
    run[9], run[10] = run[10], run[9]
    assert ledger.faults(run)
