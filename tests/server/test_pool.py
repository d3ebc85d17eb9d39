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

from rtmpd.server import pool
from rtmpd.server.pool import GreenletPool


@pytest.fixture
def greenlets() -> Iterator[GreenletPool]:
    greenlets = GreenletPool()
    yield greenlets
    greenlets.close()
    gevent.idle()


def from_hub(call: Callable[[], object]) -> None:
    """Call as a watcher would, and wait until all that follows from it has run."""
    get_hub().loop.run_callback(call)
    gevent.idle()


def crowd(greenlets: GreenletPool, count: int) -> list[Any]:
    """That many greenlets, of which each has served one body while the others served theirs."""
    workers: list[Any] = []
    done = Event()

    def body() -> None:
        workers.append(gevent.getcurrent())
        done.wait()

    for _ in range(count):
        greenlets.start("c", body)
    gevent.idle()
    assert len(workers) == count
    done.set()
    gevent.idle()
    return workers


def test_who_is_done_serves_the_next_under_its_name(greenlets: GreenletPool) -> None:
    names: list[str] = []
    served_by: list[Any] = []

    def body() -> None:
        me: Any = gevent.getcurrent()
        names.append(me.name)
        served_by.append(me)

    from_hub(lambda: greenlets.start("c000001", body))
    from_hub(lambda: greenlets.start("c000002", body))
    assert names == ["c000001", "c000002"]
    assert served_by[0] is served_by[1]
    assert served_by[0].name == "idle"


def test_an_idle_one_begins_before_start_returns(greenlets: GreenletPool) -> None:
    order: list[str] = []

    def start() -> None:
        greenlets.start("c", lambda: order.append("body"))
        order.append("returned")

    from_hub(start)
    from_hub(start)
    assert order == ["returned", "body", "body", "returned"]


def test_bodies_that_wait_have_a_greenlet_each(greenlets: GreenletPool) -> None:
    assert len(set(crowd(greenlets, 3))) == 3


def test_an_idle_one_holds_nothing_of_what_it_served(greenlets: GreenletPool) -> None:
    class Served:
        def run(self) -> None:
            pass

    for _ in range(2):  # by a new greenlet, then by an idle one
        served = Served()
        gone = weakref.ref(served)
        run = [served.run]
        del served
        from_hub(lambda run=run: greenlets.start("c", run.pop()))  # type: ignore[misc]
        gc.collect()
        assert gone() is None


def test_no_more_than_a_few_stay_idle_and_none_when_closed(
    greenlets: GreenletPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_MAX_IDLE", 2)
    workers = crowd(greenlets, 5)
    assert sum(not worker.dead for worker in workers) == 2
    greenlets.close()
    gevent.joinall(workers, timeout=1)
    assert all(worker.dead for worker in workers)
