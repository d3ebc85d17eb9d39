"""Retries, pauses and the breaker of a lane, with hooks that a test holds in its hand."""

from __future__ import annotations

import logging
import random
from collections import defaultdict

import gevent
import pytest

from rtmpd.clock import Clock, FakeClock
from rtmpd.errors import DeliveryError, PermanentDeliveryError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.lane import lane as lane_module
from rtmpd.hook.manager import HookManager
from rtmpd.hook.redelivery import again
from rtmpd.settings import DeliverySettings, HookSettings, HooksSettings, RetrySettings
from tests.support.proof import proves
from tests.support.waiting import until

QUICK = RetrySettings(max_attempts=1000, initial_delay_s=0.01, max_delay_s=0.02)
NO_BREAKER = RetrySettings(max_attempts=1000, initial_delay_s=0.001, max_delay_s=0.002, breaker_failures=10**6)


def down(retry_after_s=None):
    return TransientDeliveryError("server returned status 503", "status:503", retry_after_s)


def refused(status):
    return PermanentDeliveryError(f"server returned status {status}", f"status:{status}")


class ScriptedHook:
    """Ends each execution as ``answer(event)`` says: with the error it returns, else well."""

    type = "test"

    def __init__(self, id="flaky", answer=lambda event: None):
        self.id = id
        self.answer = answer
        self.tried = []
        self.done = []
        self.closed = False

    def execute(self, event, deadline):
        self.tried.append(str(event))
        if error := self.answer(event):
            raise error
        self.done.append(str(event))

    def close(self):
        self.closed = True


class Answers:
    """These errors one after another, then success."""

    def __init__(self, *errors):
        self.left = list(errors)

    def __call__(self, event):
        return self.left.pop(0) if self.left else None


@pytest.fixture
def managed():
    managers = []

    def make(clock=None, **kwargs):
        managers.append(HookManager(HooksSettings(concurrency=100), clock or Clock(), **kwargs))
        return managers[-1]

    yield make
    for manager in managers:
        manager.close(0)


def about(manager, hook="flaky"):
    return manager.stats()["hooks"][hook]


def kept(manager, hook="flaky"):
    """Reason and attempts of the dead letters that are kept."""
    return [(str(letter.event), letter.reason, letter.attempts) for letter in manager.dead_letters(hook)]


# --- who pays -------------------------------------------------------------------------------------


def test_without_retries_each_event_is_tried_once_whatever_became_of_the_one_before(managed):
    manager = managed()
    hook = ScriptedHook(answer=Answers(down(), down(99), refused(401), refused(410), *[down()] * 10))
    manager.register(hook, concurrency=1)
    for number in range(20):
        manager.emit("publish_start", stream_key=str(number))
    until(lambda: len(hook.tried) == 20)
    assert hook.done == [f"publish_start:{number}" for number in range(14, 20)]
    assert (about(manager)["state"], about(manager)["retried"]) == ("active", 0)
    assert about(manager)["dead"] == {"attempts": 12, "refused": 2}


@pytest.mark.parametrize("attempts", [2, 3])
def test_an_event_is_tried_so_often_and_then_dead(managed, attempts):
    manager, hook = managed(), ScriptedHook(answer=Answers(*[down()] * attempts))
    manager.register(hook, retry=RetrySettings(attempts, 0.001))
    manager.emit("publish_start", stream_key="a")
    manager.emit("publish_stop", stream_key="a")
    until(lambda: hook.done)
    assert hook.tried == ["publish_start:a"] * attempts + ["publish_stop:a"]
    assert kept(manager) == [("publish_start:a", "attempts", attempts)]


@pytest.mark.parametrize("status", [301, 400, 413, 415, 422, 404])
def test_an_event_that_is_at_fault_is_dead_at_once_and_holds_up_nobody(managed, status):
    manager, hook = managed(), ScriptedHook(answer=Answers(*[refused(status)] * 10))
    manager.register(hook, concurrency=1, retry=RetrySettings(5, initial_delay_s=3600))
    for _ in range(11):
        manager.emit("publish_start", stream_key="a")
    until(lambda: hook.done)
    assert about(manager)["dead"] == {"refused": 10}
    assert about(manager)["state"] == "active"


def test_bad_credentials_cost_the_event_no_attempt(managed):
    manager, hook = managed(), ScriptedHook(answer=Answers(*[refused(401)] * 8, refused(403), refused(407), down()))
    manager.register(hook, retry=RetrySettings(2, 0.001, 0.002))
    manager.emit("publish_start", stream_key="a")
    manager.emit("publish_stop", stream_key="a")
    until(lambda: len(hook.done) == 2)
    assert hook.done == ["publish_start:a", "publish_stop:a"]
    assert about(manager)["dead"] == {}


def test_gone_disables_the_hook_and_buries_what_waits_and_what_comes(managed, caplog):
    manager, hook = managed(), ScriptedHook(answer=Answers(refused(410)))
    watcher = ScriptedHook("watcher")
    manager.register(watcher, ["hook_*"])
    manager.register(hook, concurrency=1, retry=QUICK)
    for number in range(3):
        manager.emit("publish_start", stream_key=str(number))
    until(lambda: about(manager)["state"] == "disabled")
    manager.emit("publish_stop", stream_key="late")
    assert [(name, reason) for name, reason, _ in kept(manager)] == [
        *((f"publish_start:{number}", "disabled") for number in range(3)),
        ("publish_stop:late", "disabled"),
    ]
    assert len(hook.tried) == 1 and about(manager)["queued"] == 0
    until(lambda: watcher.done == ["hook_degraded"])
    assert "Hook disabled, its endpoint is gone" in [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("other", [refused(410), down()], ids=["gone", "down"])
def test_what_was_under_way_when_a_hook_was_disabled_is_not_tried_again(managed, other):
    manager, watcher, together = managed(), ScriptedHook("watcher"), gevent.event.Event()

    def answer(event):
        together.wait()
        return refused(410) if event.stream_key == "0" else other

    hook = ScriptedHook(answer=answer)
    manager.register(watcher, ["hook_*"])
    manager.register(hook, concurrency=3, retry=QUICK)
    for number in range(3):
        manager.emit("publish_start", stream_key=str(number))
        manager.emit("publish_stop", stream_key=str(number))
    until(lambda: about(manager)["active"] == 3)
    together.set()
    until(lambda: about(manager)["dead"] == {"disabled": 6})
    until(lambda: watcher.done)
    assert len(hook.tried) == 3 and watcher.done == ["hook_degraded"]


def test_a_bug_of_the_hook_is_not_tried_again(managed):
    manager, hook = managed(), ScriptedHook(answer=Answers(ValueError("bug")))
    manager.register(hook, retry=QUICK)
    manager.emit("publish_start")
    manager.emit("publish_stop")
    until(lambda: hook.done == ["publish_stop"])
    assert about(manager)["dead"] == {"bug": 1}


def test_a_pattern_makes_a_refusal_worth_another_try(managed):
    manager, hook = managed(), ScriptedHook(answer=Answers(refused(404), refused(404)))
    manager.register(hook, retry=RetrySettings(5, 0.001, retryable_errors=("status:404",)))
    manager.emit("publish_start")
    until(lambda: hook.done)
    assert about(manager)["retried"] == 2


# --- pauses ---------------------------------------------------------------------------------------


SLOW = RetrySettings(5, initial_delay_s=3600, max_delay_s=3600)


@proves("hooks.NAME.order")
@pytest.mark.parametrize(("order", "waiting"), [("none", {"a"}), ("key", {"a", "a2"}), ("strict", {"a", "b", "a2"})])
def test_a_single_failure_holds_up_its_own_event_and_what_has_to_come_after_it(managed, order, waiting):
    manager, hook = managed(), ScriptedHook(answer=Answers(down()))
    manager.register(hook, concurrency=1, retry=SLOW, delivery=DeliverySettings(order=order))
    manager.emit("publish_start", stream_key="a")
    until(lambda: about(manager)["state"] == "retrying")
    manager.emit("publish_start", stream_key="b")
    manager.emit("play_start", stream_key="a")
    expected = {"b": "publish_start:b", "a2": "play_start:a"}
    done = [name for key, name in expected.items() if key not in waiting]
    until(lambda: hook.done == done)
    for _ in range(20):
        gevent.sleep(0)
    assert hook.done == done and about(manager)["queued"] == len(waiting)
    assert about(manager)["held"] == 1 and about(manager)["state"] == ("active" if done else "retrying")


def test_a_failed_event_is_tried_after_its_own_backoff(managed):
    clock = FakeClock()
    manager, hook = managed(clock), ScriptedHook(answer=Answers(down(), None, down()))
    manager.register(hook, retry=RetrySettings(5, initial_delay_s=2.0, max_delay_s=60.0))
    lane = manager.lanes["flaky"]
    manager.emit("publish_start", stream_key="a")
    until(lambda: lane.held)
    manager.emit("publish_start", stream_key="b")
    until(lambda: hook.done == ["publish_start:b"])
    clock.advance(1.9)
    lane._timer.check()
    for _ in range(20):
        gevent.sleep(0)
    assert len(hook.tried) == 2
    clock.advance(0.1)
    lane._timer.check()
    until(lambda: len(hook.tried) == 3 and lane.held)
    assert lane.retry_in_s == 4.0
    clock.advance(4.0)
    lane._timer.check()
    until(lambda: hook.done == ["publish_start:b", "publish_start:a"])


def test_retries_take_no_more_than_half_of_the_executions_and_new_events_wait_for_none_of_them(managed):
    manager, go = managed(), gevent.event.Event()
    seen = set()

    def answer(event):
        if event.stream_key in seen:
            go.wait()
            return None
        seen.add(event.stream_key)
        return down() if event.stream_key.startswith("bad") else None

    hook = ScriptedHook(answer=answer)
    manager.register(hook, concurrency=4, retry=RetrySettings(50, 0.001, 0.001, breaker_failures=10**6))
    for number in range(10):
        manager.emit("publish_start", stream_key=f"bad{number}")
    until(lambda: len(hook.tried) == 12)  # two of them hang
    for number in range(20):
        manager.emit("publish_start", stream_key=f"new{number}")
    until(lambda: len(hook.done) == 20)
    assert (about(manager)["active"], about(manager)["held"]) == (2, 8)
    go.set()
    until(lambda: len(hook.done) == 30)


def test_where_there_is_one_execution_at_a_time_retries_and_new_events_take_turns(managed):
    manager, hook = managed(), ScriptedHook(answer=lambda event: down() if event.stream_key == "bad" else None)
    retry = RetrySettings(10**6, 0.000001, 0.000001, breaker_failures=10**6)
    manager.register(hook, concurrency=1, retry=retry)
    manager.emit("publish_start", stream_key="bad")
    for number in range(10):
        manager.emit("publish_start", stream_key=str(number))
    until(lambda: len(hook.done) == 10)
    retries = [index for index, name in enumerate(hook.tried) if name == "publish_start:bad"]
    assert len(retries) >= 5


def test_as_many_held_events_as_may_be_are_evidence_about_the_endpoint(managed, monkeypatch):
    monkeypatch.setattr(lane_module, "MAX_HELD", 5)
    manager, bad = managed(), [True]
    hook = ScriptedHook(answer=lambda event: down() if bad[0] and event.stream_key.startswith("bad") else None)
    retry = RetrySettings(1000, 0.2, 0.2, breaker_failures=10**6)
    manager.register(hook, concurrency=2, retry=retry)
    for number in range(20):
        manager.emit("publish_start", stream_key=f"bad{number}")
        manager.emit("publish_start", stream_key=f"fine{number}")
    until(lambda: about(manager)["state"] == "tripped")
    assert about(manager)["held"] <= 5 + 1
    bad[0] = False
    until(lambda: len(hook.done) == 40)


def test_while_as_many_are_held_as_may_be_no_new_event_is_begun(managed, monkeypatch):
    monkeypatch.setattr(lane_module, "MAX_HELD", 5)
    manager, hook = managed(), ScriptedHook(answer=lambda event: down())
    manager.register(hook, concurrency=1, retry=RetrySettings(1000, 0.001, 0.001, breaker_failures=10**6))
    for number in range(20):
        manager.emit("publish_start", stream_key=str(number))
    until(lambda: len(hook.tried) >= 30)
    assert len(set(hook.tried)) == 5


def test_retry_after_holds_the_lane_longer_than_the_backoff_would(managed):
    clock = FakeClock()
    manager, hook = managed(clock), ScriptedHook(answer=Answers(down(retry_after_s=600.0)))
    manager.register(hook, retry=QUICK)
    manager.emit("publish_start", stream_key="a")
    until(lambda: about(manager)["state"] == "retrying")
    clock.advance(599)
    lane = manager._lanes["flaky"]
    lane._timer.check()
    assert lane.state == "retrying" and len(hook.tried) == 1
    clock.advance(1)
    lane._timer.check()
    until(lambda: hook.done)


def test_after_a_pause_as_many_are_delivered_at_once_as_before(managed):
    manager, go, answers = managed(), gevent.event.Event(), Answers(down())
    hook = ScriptedHook(answer=lambda event: answers(event) or (go.wait() and None))
    manager.register(hook, concurrency=3, retry=QUICK)
    for number in range(6):
        manager.emit("publish_start", stream_key=str(number))
    until(lambda: about(manager)["active"] == 3)
    go.set()


def test_a_shorter_retry_after_cuts_neither_the_backoff_nor_a_longer_pause(managed):
    manager, answers = managed(FakeClock()), Answers(down(3600.0), down(0.0))

    def answer(event):
        until(lambda: len(hook.tried) == 2)
        return answers(event)

    hook = ScriptedHook(answer=answer)
    manager.register(hook, concurrency=2, retry=RetrySettings(5, initial_delay_s=7200, max_delay_s=7200))
    manager.emit("publish_start", stream_key="a")
    manager.emit("publish_start", stream_key="b")
    until(lambda: about(manager)["held"] == 2)
    lane = manager.lanes["flaky"]
    assert lane._health.paused_until - manager._clock.monotonic() == 3600
    assert lane._schedule.next_at - manager._clock.monotonic() == 7200


def test_who_says_when_to_come_again_does_not_open_the_breaker(managed):
    manager, hook = managed(), ScriptedHook(answer=Answers(*[down(0.001)] * 20))
    watcher = ScriptedHook("watcher")
    manager.register(watcher, ["hook_*"])
    manager.register(hook, retry=QUICK)
    manager.emit("publish_start")
    until(lambda: hook.done)
    assert len(hook.tried) == 21 and not watcher.tried


@proves("hooks.NAME.max_age")
def test_events_over_their_age_are_dead_whether_tried_or_not(managed):
    clock = FakeClock()
    manager, hook = managed(clock), ScriptedHook(answer=Answers(down(60.0)))
    manager.register(hook, concurrency=1, retry=QUICK, delivery=DeliverySettings(max_age_s=30.0))
    manager.emit("publish_start", stream_key="a")
    until(lambda: about(manager)["state"] == "retrying")
    manager.emit("publish_stop", stream_key="a")
    clock.advance(59)
    manager.emit("publish_start", stream_key="young")
    clock.advance(1)
    manager._lanes["flaky"]._timer.check()
    until(lambda: hook.done)
    assert hook.done == ["publish_start:young"]
    assert sorted(kept(manager)) == [("publish_start:a", "expired", 1), ("publish_stop:a", "expired", 0)]


def test_an_event_is_dead_when_it_is_too_old_and_not_only_when_it_would_be_tried_again(managed):
    clock = FakeClock()
    manager, hook = managed(clock), ScriptedHook(answer=Answers(down()))
    manager.register(hook, retry=RetrySettings(10, 3600.0, 3600.0), delivery=DeliverySettings(max_age_s=30.0))
    manager.emit("publish_start", stream_key="a")
    until(lambda: about(manager)["held"])
    clock.advance(30)
    manager._lanes["flaky"]._timer.check()
    until(lambda: kept(manager))
    assert kept(manager) == [("publish_start:a", "expired", 1)]


def test_one_try_ends_at_the_shorter_of_both_limits(managed):
    deadlines = []
    manager, hook = managed(FakeClock(monotonic=100.0)), ScriptedHook()
    hook.execute = lambda event, deadline: deadlines.append(deadline)
    manager.register(hook, timeout_s=30, delivery=DeliverySettings(confirm_timeout_s=5))
    manager.emit("publish_start")
    until(lambda: deadlines)
    assert deadlines == [105.0]


# --- breaker --------------------------------------------------------------------------------------


def test_the_breaker_opens_probes_and_closes_with_every_event_in_its_order(managed, caplog):
    caplog.set_level(logging.INFO, "rtmpd")
    manager, watcher, broken = managed(), ScriptedHook("watcher"), [True]
    told = []
    watcher.answer = lambda event: told.append((event.type, dict(event.data)))
    hook = ScriptedHook(answer=lambda event: down() if broken[0] else None)
    manager.register(watcher, ["hook_*"])
    manager.register(hook, concurrency=4, retry=RetrySettings(1000, 0.002, 0.005, breaker_failures=3))
    for number in range(60):
        manager.emit("publish_start", stream_key=f"{number % 3}", number=number)
    until(lambda: about(manager)["state"] == "tripped")
    until(lambda: len(hook.tried) > 12)
    broken[0] = False
    until(lambda: len(hook.done) == 60)
    until(lambda: len(told) == 2)
    assert [type for type, _ in told] == ["hook_degraded", "hook_recovered"]
    degraded, recovered = told[0][1], told[1][1]
    assert (degraded["hook_id"], degraded["fault"], degraded["failures"]) == ("flaky", "endpoint", 3)
    assert degraded["backlog"] >= 50 and degraded["oldest_sec"] >= 0
    assert recovered["failures"] > 3
    logged = [(r.levelname, r.getMessage()) for r in caplog.records if r.getMessage().startswith("Hook is")]
    assert logged == [("WARNING", "Hook is only probed"), ("INFO", "Hook is back")]
    assert about(manager)["state"] == "active" and about(manager)["dead"] == {}


def test_an_endpoint_that_is_back_soon_gets_as_many_at_once_as_before(managed):
    manager, go, answers = managed(), gevent.event.Event(), Answers(*[down()] * 6)
    go.set()
    hook = ScriptedHook(answer=lambda event: answers(event) or (go.wait() and None))
    manager.register(hook, concurrency=4, retry=RetrySettings(50, 0.001, 0.001))
    for number in range(12):
        manager.emit("publish_start", stream_key=str(number))
    until(lambda: len(hook.done) == 12)
    go.clear()
    for number in range(5):
        manager.emit("publish_stop", stream_key=str(number))
    until(lambda: about(manager)["active"] == 4)
    go.set()


def test_only_one_execution_probes_an_open_breaker(managed):
    manager, running, most = managed(), [0], [0]

    def probe(event, deadline):
        running[0] += 1
        most[0] = max(most[0], running[0])
        gevent.sleep(0.002)
        running[0] -= 1
        hook.tried.append(str(event))
        raise down()

    hook = ScriptedHook()
    hook.execute = probe
    manager.register(hook, concurrency=8, retry=RetrySettings(1000, 0.001, 0.001, breaker_failures=1))
    manager.emit("publish_start", stream_key="first")
    until(lambda: about(manager)["state"] == "tripped")
    for number in range(30):
        manager.emit("publish_start", stream_key=str(number))
    until(lambda: len(hook.tried) > 10)
    assert most == [1]


def test_the_probe_waits_for_what_was_under_way_when_the_breaker_opened(managed):
    manager, go, fail = managed(), gevent.event.Event(), gevent.event.Event()

    def answer(event):
        if event.stream_key == "0" and not fail.is_set():
            until(lambda: about(manager)["active"] == 3)
            return down()
        if event.stream_key == "1" and not go.is_set():
            fail.wait()
            return down()
        go.wait()
        return None

    hook = ScriptedHook(answer=answer)
    manager.register(hook, concurrency=3, retry=RetrySettings(50, 0.001, 0.001, breaker_failures=1))
    for number in range(6):
        manager.emit("publish_start", stream_key=str(number))
    until(lambda: about(manager)["state"] == "tripped" and about(manager)["active"] == 2)
    lane = manager._lanes["flaky"]
    until(lambda: lane.retry_in_s == 0)
    fail.set()
    until(lambda: about(manager)["active"] == 1)
    for _ in range(20):
        gevent.sleep(0)
    assert len(hook.tried) == 3 and about(manager)["active"] == 1
    go.set()
    until(lambda: len(hook.done) == 6)


def test_failures_that_were_under_way_do_not_lengthen_the_pause(managed):
    manager, hook = managed(FakeClock()), ScriptedHook()
    together = gevent.event.Event()

    def execute(event, deadline):
        together.wait()
        raise down()

    hook.execute = execute
    manager.register(hook, concurrency=10, retry=RetrySettings(50, 1.0, 3600.0, breaker_failures=5))
    for number in range(10):
        manager.emit("publish_start", stream_key=str(number))
    until(lambda: about(manager)["active"] == 10)
    together.set()
    until(lambda: about(manager)["retried"] == 10)
    lane = manager._lanes["flaky"]
    assert lane._health.paused_until - manager._clock.monotonic() == 1.0


def test_an_event_about_a_hook_is_not_sent_to_that_hook(managed):
    manager, hook = managed(), ScriptedHook(answer=Answers(*[down()] * 6))
    manager.register(hook, retry=RetrySettings(100, 0.001, 0.001))
    manager.emit("publish_start")
    until(lambda: hook.done)
    assert set(hook.tried) == {"publish_start"}


def test_a_probe_of_a_poisoned_event_ends_with_its_attempts(managed):
    manager = managed()
    hook = ScriptedHook(answer=lambda event: down() if event.stream_key == "poison" else None)
    manager.register(hook, concurrency=1, retry=RetrySettings(8, 0.001, 0.001, breaker_failures=3))
    manager.emit("publish_start", stream_key="poison")
    until(lambda: about(manager)["state"] == "tripped")
    manager.emit("publish_start", stream_key="fine")
    until(lambda: hook.done == ["publish_start:fine"])
    until(lambda: kept(manager) == [("publish_start:poison", "attempts", 8)])


def test_a_dead_hook_costs_the_others_nothing(managed):
    manager = managed()
    dead = ScriptedHook("dead", lambda event: down())
    healthy = ScriptedHook("healthy")
    manager.register(dead, retry=QUICK, queue_events=5)
    manager.register(healthy, ["publish_*"])
    for number in range(500):
        manager.emit("publish_start", stream_key=str(number % 7))
        if not number % 50:
            gevent.sleep(0)
    until(lambda: len(healthy.done) == 500)
    assert about(manager, "dead")["queued"] <= 5 + 10
    assert about(manager, "dead")["dropped"] >= 500 - 15


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("order", ["key", "strict", "none"])
def test_nothing_is_lost_doubled_or_overtaken_within_its_key(managed, order, seed):
    """Random delays, failures and arrivals, judged by what the receiver saw."""
    dice, under_way, seen, manager = random.Random(seed), defaultdict(int), [], managed()
    overlaps = []

    def execute(event, deadline):
        key = "all" if order == "strict" else event.stream_key
        under_way[key] += 1
        overlaps.append(under_way[key] > 1)
        try:
            gevent.sleep(dice.random() * 0.003)
            if dice.random() < 0.25:
                raise down() if dice.random() < 0.5 else TransientDeliveryError("timed out", "timeout")
            seen.append((event.stream_key, event.data["number"]))
        finally:
            under_way[key] -= 1

    hook = ScriptedHook()
    hook.execute = execute
    manager.register(hook, concurrency=5, retry=NO_BREAKER, delivery=DeliverySettings(order=order))
    sent = []
    for number in range(120):
        key = dice.choice("abcd")
        manager.emit("publish_start", stream_key=key, number=number)
        sent.append((key, number))
        if dice.random() < 0.2:
            gevent.sleep(dice.random() * 0.005)
    until(lambda: len(seen) >= len(sent) and not about(manager)["queued"])
    assert sorted(seen) == sorted(sent)
    if order == "none":
        assert any(overlaps)
        return
    assert not any(overlaps)
    if order == "strict":
        assert seen == sent
    for key in "abcd":
        assert [number for k, number in seen if k == key] == [number for k, number in sent if k == key]


def test_different_keys_are_delivered_at_the_same_time_one_key_is_not(managed):
    manager, hook, go = managed(), ScriptedHook(), gevent.event.Event()

    def execute(event, deadline):
        hook.tried.append(str(event))
        go.wait()

    hook.execute = execute
    manager.register(hook, concurrency=10)
    for name in ("publish_start", "publish_stop"):
        for key in "abc":
            manager.emit(name, stream_key=key)
    until(lambda: len(hook.tried) == 3)
    for _ in range(20):
        gevent.sleep(0)
    assert hook.tried == ["publish_start:a", "publish_start:b", "publish_start:c"]
    go.set()
    until(lambda: len(hook.tried) == 6)


# --- shedding -------------------------------------------------------------------------------------


def test_shed_events_are_told_to_the_others_with_their_numbers(managed):
    told, clock = [], FakeClock()
    manager, watcher = managed(clock), ScriptedHook("watcher")
    watcher.answer = lambda event: told.append(dict(event.data))
    hook = ScriptedHook(answer=lambda event: down(3600.0))
    manager.register(watcher, ["events_dropped"])
    manager.register(hook, concurrency=1, queue_events=3, retry=QUICK)
    manager.emit("publish_start", stream_key="a")
    until(lambda: about(manager)["state"] == "retrying")
    for _ in range(9):
        manager.emit("publish_start", stream_key="a")
    until(lambda: told)
    clock.advance(11)
    manager.emit("publish_start", stream_key="a")
    until(lambda: len(told) == 2)
    common = {"hook_id": "flaky", "reason": "queue_full"}
    assert told == [
        {**common, "count": 1, "from_seq": 2, "to_seq": 2},
        {**common, "count": 6, "from_seq": 3, "to_seq": 8},
    ]
    assert about(manager)["dropped"] == 7 and about(manager)["dead"] == {}


def test_two_hooks_that_shed_do_not_shed_each_other_without_end(managed):
    manager = managed()
    for id in ("one", "two"):
        manager.register(ScriptedHook(id, lambda event: down(3600.0)), queue_events=1, retry=QUICK)
    for _ in range(100):
        manager.emit("publish_start", stream_key="a")
        gevent.sleep(0)
    assert about(manager, "one")["dropped"] + about(manager, "two")["dropped"] < 250


# --- reload and close -----------------------------------------------------------------------------


def built(managed, hooks):
    def build(settings, clock):
        hooks.append(ScriptedHook(settings.id, lambda event: down(3600.0)))
        return hooks[-1]

    return managed(build=build)


def test_a_reload_keeps_the_pause_and_the_held_event_of_an_unchanged_hook(managed):
    hooks = []
    manager = built(managed, hooks)
    wanted = HookSettings("a", "webhook", "http://a/", retry=QUICK)
    manager.replace(HooksSettings((wanted,)))
    manager.emit("publish_start")
    until(lambda: about(manager, "a")["state"] == "retrying")
    manager.replace(HooksSettings((wanted, HookSettings("b", "webhook", "http://b/"))))
    manager.emit("publish_stop")
    assert (about(manager, "a")["state"], about(manager, "a")["queued"]) == ("retrying", 2)
    assert hooks[0].tried == ["publish_start"]


def test_a_hook_that_is_removed_gets_each_of_its_events_once_more_and_ends(managed):
    hooks = []
    manager = built(managed, hooks)
    manager.replace(HooksSettings((HookSettings("a", "webhook", "http://a/", concurrency=1, retry=QUICK),)))
    for number in range(3):
        manager.emit("publish_start", stream_key=str(number))
    until(lambda: about(manager, "a")["state"] == "retrying")
    hooks[0].answer = lambda event: down() if event.stream_key == "1" else None
    manager.replace(HooksSettings())
    until(lambda: hooks[0].closed)
    assert hooks[0].done == ["publish_start:0", "publish_start:2"]


@pytest.mark.parametrize("works_again", [True, False])
def test_close_does_not_wait_for_a_pause_but_tries_everything_once_more(managed, works_again):
    manager, hook = managed(), ScriptedHook(answer=lambda event: down(3600.0))
    manager.register(hook, retry=QUICK)
    for number in range(20):
        manager.emit("publish_start", stream_key=str(number % 4))
    until(lambda: about(manager)["state"] == "retrying")
    hook.answer = lambda event: None if works_again else down(3600.0)
    hook.tried.clear()
    with gevent.Timeout(20):
        manager.close(60)
    assert len(hook.tried) == 20 and hook.closed
    assert len(hook.done) == (20 if works_again else 0)


def test_unknown_errors_of_the_family_are_the_events(managed):
    manager, hook = managed(), ScriptedHook(answer=Answers(DeliveryError("odd")))
    manager.register(hook, retry=QUICK)
    manager.emit("publish_start")
    until(lambda: about(manager)["dead"] == {"refused": 1})


def test_a_second_try_says_so_in_the_environment_of_a_script():
    event = Event("publish_start", 0, stream_key="live/a", id="evt_1")
    first, second = event.as_env(), again(event, 2, "timeout").as_env()
    assert second == {**first, "RTMP_ATTEMPT": "2", "RTMP_REDELIVERED": "timeout"}
    assert "RTMP_REDELIVERED" not in again(event, 2, "").as_env()
