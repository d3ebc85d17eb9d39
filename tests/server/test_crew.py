"""Greenlets that serve one connection after another."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.hub import get_hub

from rtmpd.server import crew
from rtmpd.server.crew import Crew


@pytest.fixture
def band() -> Iterator[Crew]:
    band = Crew()
    yield band
    band.close()
    gevent.idle()


def from_hub(call: Callable[[], object]) -> None:
    """Call as a watcher would, and wait until all that follows from it has run."""
    get_hub().loop.run_callback(call)
    gevent.idle()


def crowd(band: Crew, count: int) -> list[Any]:
    """That many greenlets, of which each has served one body while the others served theirs."""
    workers: list[Any] = []
    done = Event()

    def body() -> None:
        workers.append(gevent.getcurrent())
        done.wait()

    for _ in range(count):
        band.start("c", body)
    gevent.idle()
    assert len(workers) == count
    done.set()
    gevent.idle()
    return workers


def test_who_is_done_serves_the_next_under_its_name(band: Crew) -> None:
    names: list[str] = []
    served_by: list[Any] = []

    def body() -> None:
        me: Any = gevent.getcurrent()
        names.append(me.name)
        served_by.append(me)

    from_hub(lambda: band.start("c000001", body))
    from_hub(lambda: band.start("c000002", body))
    assert names == ["c000001", "c000002"]
    assert served_by[0] is served_by[1]
    assert served_by[0].name == "idle"


def test_an_idle_one_begins_before_start_returns(band: Crew) -> None:
    order: list[str] = []

    def start() -> None:
        band.start("c", lambda: order.append("body"))
        order.append("returned")

    from_hub(start)
    from_hub(start)
    assert order == ["returned", "body", "body", "returned"]


def test_bodies_that_wait_have_a_greenlet_each(band: Crew) -> None:
    assert len(set(crowd(band, 3))) == 3


def test_an_idle_one_holds_nothing_of_what_it_served(band: Crew) -> None:
    class Served:
        def run(self) -> None:
            pass

    for _ in range(2):  # by a new greenlet, then by an idle one
        served = Served()
        gone = weakref.ref(served)
        run = [served.run]
        del served
        from_hub(lambda run=run: band.start("c", run.pop()))  # type: ignore[misc]
        gc.collect()
        assert gone() is None


def test_no_more_than_a_few_stay_idle_and_none_when_closed(band: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_MOST_IDLE", 2)
    workers = crowd(band, 5)
    assert sum(not worker.dead for worker in workers) == 2
    band.close()
    gevent.joinall(workers, timeout=1)
    assert all(worker.dead for worker in workers)
