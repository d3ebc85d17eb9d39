"""A lane and an endpoint whose answers are a random process, in a time of their own.

The endpoint fails now and then, keeps failing for one key, or is down for a while; the seed decides when. Time is moved
from one thing that happens to the next, so hours pass in a moment and every run with one seed is the same.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import gevent
import pytest
from gevent.event import Event as Signal
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpd.clock import FakeClock
from rtmpd.errors import DeliveryError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.lane import lane as lane_module
from rtmpd.hook.lane.health import WINDOW
from rtmpd.hook.lane.lane import Lane
from rtmpd.hook.manager import HookManager
from rtmpd.settings import DeliverySettings, HooksSettings, RetrySettings

BUSY = TransientDeliveryError("server returned status 503", "status:503")
REFUSED = TransientDeliveryError("network error: Connection refused", "ECONNREFUSED")


@dataclass
class World:
    """Time, and what is to happen in it. ``answer`` says what the endpoint makes of an event, after ``latency_s``."""

    latency_s: float = 0.01
    answer: Callable[[Event], DeliveryError | None] = lambda event: None
    each: bool = False  # whether each event of a batch has an answer of its own
    type: str = "simulated"
    id: str = "simulated"
    answers_each: bool = False
    running: int = 0
    clock: FakeClock = field(default_factory=FakeClock)
    agenda: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    tries: list[tuple[float, str, int]] = field(default_factory=list)  # moment, key, number
    latest: dict[str, int] = field(default_factory=dict)  # the last that was delivered of each key
    overtaken: list[tuple[str, int]] = field(default_factory=list)  # tried after a later one of its key was delivered
    delivered: dict[tuple[str, int], float] = field(default_factory=dict)
    under_way: set[tuple[str, int]] = field(default_factory=set)

    # --- the hook ---

    def execute(self, event: Event, deadline: float) -> None:
        (error,) = self._execute([event])
        if error is not None:
            raise error

    def execute_batch(self, events: list[Event], deadline: float) -> list[DeliveryError | None]:
        return self._execute(events)

    def _execute(self, events: list[Event]) -> list[DeliveryError | None]:
        names = [(event.stream_key, event.data["number"]) for event in events]
        assert not self.under_way & set(names), "an event is sent twice at once"
        self.under_way.update(names)
        self.tries += [(self.clock.monotonic(), *name) for name in names]
        self.overtaken += [name for name in names if self.latest.get(name[0], -1) >= name[1]]
        over = Signal()
        self.at(self.clock.monotonic() + self.latency_s, over.set)
        self.running += 1
        try:
            over.wait()
        finally:
            self.running -= 1
            self.under_way.difference_update(names)
        errors = [self.answer(event) for event in events] if self.each else [self.answer(events[0])] * len(events)
        for name, error in zip(names, errors, strict=True):
            if error is None:
                self.delivered.setdefault(name, self.clock.monotonic())
                self.latest[name[0]] = max(self.latest.get(name[0], -1), name[1])
        return errors

    def close(self) -> None:
        pass

    # --- time ---

    def at(self, moment: float, act: Callable[[], object]) -> None:
        heapq.heappush(self.agenda, (moment, next(self.numbers), act))

    def run(self, lane: Lane, until_s: float) -> None:
        """Have everything happen up to that moment."""
        while True:
            self._settle(lane)
            timers = [lane._timer, *([lane._batching._timer] if lane._batching else [])]
            moments = [timer.at for timer in timers if timer.at is not None] + [each[0] for each in self.agenda[:1]]
            now = self.clock.monotonic()
            if not moments or min(moments) > until_s:
                self.clock.advance(max(until_s - now, 0.0))
                return
            self.clock.advance(max(min(moments) - now, 0.0))
            while self.agenda and self.agenda[0][0] <= self.clock.monotonic():
                heapq.heappop(self.agenda)[2]()
            for timer in timers:
                timer.check()

    def _settle(self, lane: Lane) -> None:
        """Let the workers go on until each waits for the endpoint or for something to do."""
        with gevent.Timeout(20, AssertionError("the workers do not come to rest")):
            gevent.sleep(0)
            while len(lane.workers) != lane._sleeping + self.running:
                gevent.sleep(0)


class Watcher:
    """Notes the types of events."""

    type = id = "watcher"

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def execute(self, event: Event, deadline: float) -> None:
        self._seen.append(event.type)

    def close(self) -> None:
        pass


@pytest.fixture
def begun():
    managers = []

    def begin(world: World, retry: RetrySettings, concurrency: int = 8, **delivery: object) -> tuple[HookManager, Lane]:
        manager = HookManager(HooksSettings(concurrency=concurrency), world.clock)
        managers.append(manager)
        manager.register(
            world, retry=retry, concurrency=concurrency, queue_events=10**6, delivery=DeliverySettings(**delivery)
        )
        return manager, manager.lanes["simulated"]

    yield begin
    for manager in managers:
        manager.close(0)


def emit_evenly(
    world: World, manager: HookManager, count: int, per_s: float, keys: int
) -> list[tuple[str, int, float]]:
    """Have so many events emitted; their keys, numbers and moments."""
    begin, born = world.clock.monotonic(), []
    for number in range(count):
        key, moment = f"live/{number % keys}", begin + number / per_s
        born.append((key, number, moment))
        world.at(moment, lambda key=key, number=number: manager.emit("play_start", stream_key=key, number=number))
    return born


def share_of(dice: random.Random, share: float) -> Callable[[Event], DeliveryError | None]:
    return lambda event: BUSY if dice.random() < share else None


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("shape", ["single", "batch", "batch with answers"])
def test_sporadic_failures_delay_their_own_events_and_no_others(begun, share, shape):
    """At half of what the endpoint can take: an event that did not fail, nor had to wait for one of its key, is there
    as soon as from an endpoint without a fault."""
    world = World(answer=share_of(random.Random(3), share), each=shape == "batch with answers")
    world.answers_each = world.each
    delivery = {} if shape == "single" else {"batch_events": 10, "batch_age_s": 0.05}
    manager, lane = begun(world, RetrySettings(3, 1.0, 60.0), **delivery)
    born = emit_evenly(world, manager, 2000, per_s=400.0, keys=500)
    opened: list[str] = []
    manager.register(Watcher(opened), ["hook_*"])
    world.run(lane, world.clock.monotonic() + 200.0)
    assert opened == [], "sporadic failures are no evidence about the endpoint"
    tries = defaultdict(int)
    for _, _, number in world.tries:
        tries[number] += 1
    slow = [number for key, number, moment in born if world.delivered.get((key, number), 1e9) > moment + 0.2]
    blocked = {other for number in slow if tries[number] > 1 for other in range(number + 500, 2000, 500)}
    assert all(tries[number] > 1 or number in blocked for number in slow), "events wait that did not fail"
    assert lane.dropped == 0 and lane.executed + sum(lane.dead_letters.counts.values()) >= 2000
    assert len(manager.dead_letters("simulated")) <= 2000 * share**3 * 3 + 2
    assert not world.overtaken


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.05, 0.2, 0.5]),
    order=st.sampled_from(["none", "key", "strict"]),
    concurrency=st.sampled_from([1, 2, 8]),
    batch=st.sampled_from([1, 5]),
    outages=st.integers(0, 3),
)
def test_whatever_the_endpoint_does_everything_is_delivered_in_its_order(
    seed, share, order, concurrency, batch, outages
):
    dice = random.Random(seed)
    world = World()
    down = [world.clock.monotonic() + dice.uniform(0, 60) for _ in range(outages)]
    refusing = dice.random() < 0.5

    def answer(event):
        now = world.clock.monotonic()
        if any(begin <= now < begin + 20 for begin in down):
            return REFUSED if refusing else BUSY
        if dice.random() < share:
            later = TransientDeliveryError("busy", "status:429", dice.choice([0.0, 0.5, 3.0]))
            return dice.choice([BUSY, BUSY, TransientDeliveryError("timed out", "timeout"), later])
        return None

    world.answer = answer
    world.each = world.answers_each = dice.random() < 0.5
    manager = HookManager(HooksSettings(concurrency=concurrency), world.clock)
    delivery = DeliverySettings(order=order, batch_events=batch)
    manager.register(
        world, retry=RetrySettings(10**6, 0.1, 5.0), concurrency=concurrency, queue_events=10**6, delivery=delivery
    )
    lane = manager.lanes["simulated"]
    try:
        emit_evenly(world, manager, 150, per_s=10.0, keys=7)
        world.run(lane, world.clock.monotonic() + 36_000)
        assert len(world.delivered) == 150 and lane.queued == 0 and not lane.dead_letters.counts
        assert lane.state == "active" and lane._schedule.blocked == 0
        assert order == "none" or not world.overtaken
    finally:
        manager.close(0)


def test_an_endpoint_that_is_down_for_hours_is_asked_seldom_and_holds_little(begun):
    world = World(answer=lambda event: BUSY)
    manager, lane = begun(world, RetrySettings(10**6, 1.0, 60.0))
    emit_evenly(world, manager, 1000, per_s=0.05, keys=50)
    held = []
    for _ in range(6):
        world.run(lane, world.clock.monotonic() + 3600)
        held.append(lane.held)
    assert lane.state == "tripped"
    assert len(world.tries) < WINDOW + 6 * 60 + 20
    assert max(held) <= 51, "at most one event of each key"
    world.answer = lambda event: None
    world.run(lane, world.clock.monotonic() + 3600)
    assert lane.queued == 0 and lane.state == "active"
    assert not world.overtaken


def test_events_without_a_key_are_not_all_held_by_an_endpoint_that_is_down(begun, monkeypatch):
    monkeypatch.setattr(lane_module, "MAX_HELD", 50)
    world = World(answer=lambda event: BUSY)
    manager, lane = begun(world, RetrySettings(10**6, 0.001, 0.01), order="none")
    emit_evenly(world, manager, 1000, per_s=1000.0, keys=50)
    world.run(lane, world.clock.monotonic() + 100)
    assert lane.held <= 50 + 8
    assert lane.state == "tripped"


def test_an_event_that_the_endpoint_cannot_stand_holds_up_its_key_only(begun):
    poison = {("live/3", 3)}

    def answer(event):
        return BUSY if (event.stream_key, event.data["number"]) in poison else None

    world = World(answer=answer)
    manager, lane = begun(world, RetrySettings(10**6, 1.0, 60.0))
    emit_evenly(world, manager, 1000, per_s=10.0, keys=10)
    world.run(lane, world.clock.monotonic() + 200)
    assert len(world.delivered) == 900 and "live/3" not in {key for key, _ in world.delivered}
    assert lane.queued == 100 and lane.held == 1
    poison.clear()
    world.run(lane, world.clock.monotonic() + 200)
    assert len(world.delivered) == 1000
    assert not world.overtaken
