"""How many deliveries may begin in one turn of the event loop."""

from __future__ import annotations

import itertools

import gevent
from gevent.hub import get_hub

from rtmpd.hook.lane.startlimit import _PER_TURN, StartLimit


def test_the_loop_looks_at_other_things_between_a_few_deliveries() -> None:
    limit, began = StartLimit(), []
    turns = []
    ticker = get_hub().loop.prepare()
    ticker.start(lambda: turns.append(len(began)))
    try:
        workers = [gevent.spawn(lambda n=n: (limit.enter(), began.append(n))) for n in range(40)]
        gevent.joinall(workers, timeout=5, raise_error=True)
    finally:
        ticker.stop()
        ticker.close()
    assert began == list(range(40))
    turns.append(40)
    assert max(after - before for before, after in itertools.pairwise(turns)) <= _PER_TURN


def test_who_is_killed_while_it_waits_leaves_the_queue() -> None:
    limit, began = StartLimit(), []
    workers = [gevent.spawn(lambda n=n: (limit.enter(), began.append(n))) for n in range(12)]
    gevent.sleep(0)
    workers[-1].kill()
    assert len(limit._queue) == 12 - _PER_TURN - 1
    gevent.joinall(workers, timeout=5)
    assert began == list(range(11))
    limit.enter()
