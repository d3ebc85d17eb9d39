"""Hooks that may count on their events: what is accepted is on the disk, and comes back."""

from __future__ import annotations

import shutil
import sqlite3
import time

import gevent
import pytest

from rtmpd.clock import Clock
from rtmpd.errors import PermanentDeliveryError, StartError, TransientDeliveryError
from rtmpd.hook.manager import HookManager
from rtmpd.hook.store.schema import GapRow
from rtmpd.settings import (
    GUARANTEE_AT_LEAST_ONCE,
    DeliverySettings,
    HooksSettings,
    RetrySettings,
    StoreSettings,
)
from tests.support.hooks import HeldHook
from tests.support.proof import proves
from tests.support.waiting import until

DURABLE = DeliverySettings(guarantee_level=GUARANTEE_AT_LEAST_ONCE)
PATIENT = RetrySettings(max_attempts=1000, initial_delay_s=0.01, max_delay_s=0.02)


class Later(Clock):
    """A clock that is ``shift_s`` ahead."""

    shift_s = 0.0

    def wall(self):
        return time.time() + self.shift_s


class Taker:
    """Notes what it is given; ``answer`` raises what is to go wrong."""

    type = "taker"

    def __init__(self, id="taker", answer=None):
        self.id = id
        self.events = []
        self.answer = answer

    def execute(self, event, deadline):
        if self.answer:
            self.answer(event)
        self.events.append(event)

    def close(self):
        pass

    @property
    def keys(self):
        return [event.stream_key for event in self.events]


@pytest.fixture
def managed(tmp_path):
    managers = []

    def make(path="events.db", **store):
        settings = HooksSettings(store=StoreSettings(str(tmp_path / path), **store))
        managers.append(HookManager(settings, Clock()))
        return managers[-1]

    yield make
    for manager in managers:
        manager.close(0)


def add(manager, hook, **settings):
    manager.register(hook, **{"delivery": DURABLE, "retry": PATIENT, **settings})
    return hook


def publish(manager, *names):
    for name in names:
        manager.emit("publish_start", stream_key=name, session_id=name)


def settled(manager):
    until(lambda: not manager.events.staged and all(feed.backlog == 0 for feed in manager.events.feeds.values()))


def crash_image(manager, tmp_path, name="crashed.db"):
    """What a killed process leaves: the files as they are, without a clean end."""
    path = manager.events._settings.path
    for suffix in ("", "-wal"):
        shutil.copy(path + suffix, str(tmp_path / (name + suffix)))
    return name


def test_an_event_is_on_the_disk_before_the_hook_gets_it(managed, tmp_path):
    manager = managed()
    seen = []

    def look(event):
        image = tmp_path / crash_image(manager, tmp_path)
        with sqlite3.connect(image) as database:
            seen.append(database.execute("SELECT id FROM event").fetchall())

    hook = add(manager, Taker(answer=look))
    publish(manager, "live/a")
    settled(manager)
    assert seen == [[(hook.events[0].id,)]]


def test_what_was_not_delivered_comes_after_the_restart_in_order(managed):
    names = [f"live/{n}" for n in range(300)]
    manager = managed()
    add(manager, HeldHook("taker"), delivery=DeliverySettings(guarantee_level=GUARANTEE_AT_LEAST_ONCE, order="strict"))
    publish(manager, *names)
    until(lambda: manager.events.committed == 300)
    manager.close(0)
    again = managed()
    hook = add(again, Taker(), delivery=DeliverySettings(guarantee_level=GUARANTEE_AT_LEAST_ONCE, order="strict"))
    settled(again)
    assert hook.keys == names
    assert [event.seq for event in hook.events] == list(range(1, 301))


def test_what_was_delivered_does_not_come_again(managed):
    manager = managed()
    hook = add(manager, Taker())
    publish(manager, "live/a", "live/b")
    settled(manager)
    manager.close(1)
    again = managed()
    other = add(again, Taker())
    publish(again, "live/c")
    settled(again)
    assert hook.keys == ["live/a", "live/b"]
    assert other.keys == ["live/c"]
    assert other.events[0].seq == 3
    assert not hasattr(other.events[0], "redelivered")


def test_after_a_crash_what_may_be_known_says_so(managed, tmp_path):
    manager = managed()
    held = add(manager, HeldHook("taker"))
    publish(manager, "live/a", "live/b")
    until(lambda: len(held.started) == 2)
    image = crash_image(manager, tmp_path)
    again = managed(image)
    hook = add(again, Taker())
    settled(again)
    assert sorted(hook.keys) == ["live/a", "live/b"]
    assert {event.redelivered for event in hook.events} == {"recovery"}


def test_a_backlog_takes_a_window_of_memory_and_keeps_its_order(managed):
    manager = managed()
    hook = add(manager, HeldHook("taker"))
    lane = manager._lanes["taker"]
    for number in range(1000):
        manager.emit("publish_start", stream_key=f"live/{number % 7}", session_id=str(number))
        if number % 100 == 0:
            gevent.sleep(0)
    until(lambda: manager.events.committed == 1000)
    assert len(lane._schedule) <= lane.feed.window
    hook.go.set()
    settled(manager)
    assert len(hook.done) == 1000


def test_an_endpoint_that_is_down_costs_no_event(managed):
    failures = iter(range(40))

    def fail(event):
        if next(failures, None) is not None:
            raise TransientDeliveryError("down", "status:503")

    manager = managed()
    hook = add(manager, Taker(answer=fail))
    publish(manager, *[f"live/{n}" for n in range(100)])
    settled(manager)
    assert sorted(hook.keys) == sorted(f"live/{n}" for n in range(100))


def test_a_dead_event_is_settled_and_in_the_store(managed):
    def refuse(event):
        raise PermanentDeliveryError("no", "status:400")

    manager = managed()
    add(manager, Taker(answer=refuse))
    publish(manager, "live/a")
    settled(manager)
    until(lambda: not manager.events._dirty)
    manager.close(1)
    again = managed()
    hook = add(again, Taker())
    gevent.sleep(0.05)
    assert hook.events == []
    (dead,) = again.events.pool.apply(again.events.database.dead, ("", 0, 10))
    assert (dead.lane, dead.reason, dead.attempts, dead.seq) == ("taker", "refused", 1, 1)


def test_the_ends_of_what_a_crash_cut_short_are_told(managed, tmp_path):
    manager = managed()
    add(manager, Taker())
    manager.emit("connection_accept", conn_id="c000001", client_ip="192.0.2.1")
    manager.emit("publish_start", conn_id="c000001", stream_key="live/a", app="live", session_id="s1")
    manager.emit("publish_start", conn_id="c000002", stream_key="live/b", app="live", session_id="s2")
    manager.emit("publish_stop", conn_id="c000002", stream_key="live/b", session_id="s2")
    settled(manager)
    again = managed(crash_image(manager, tmp_path))
    hook = add(again, Taker())
    assert again.recover() == 2
    settled(again)
    ends = [event for event in hook.events if event.type in ("publish_stop", "connection_close") and event.seq > 4]
    assert [(end.type, end.conn_id, end.stream_key, end.data["reason"]) for end in ends] == [
        ("publish_stop", "c000001", "live/a", "server_crash"),
        ("connection_close", "c000001", "", "server_crash"),
    ]
    third = managed(crash_image(again, tmp_path, "third.db"))
    add(third, Taker())
    assert third.recover() == 0


def test_an_end_after_a_crash_says_what_is_known_of_its_length(managed, tmp_path):
    """The store's last sign of life is all that is known. What was emitted last may be long ago."""
    clock = Later()
    path = str(tmp_path / "long.db")
    manager = HookManager(HooksSettings(store=StoreSettings(path)), clock)
    add(manager, Taker())
    manager.emit("publish_start", stream_key="live/a", app="live", session_id="s1")
    settled(manager)
    began = clock.wall()
    clock.shift_s = 600.0
    manager.events.sign_of_life()
    seen = clock.wall()
    clock.shift_s = 700.0
    name = crash_image(manager, tmp_path)
    manager.close(0)
    again = managed(name)
    hook = add(again, Taker())
    assert again.recover() == 1
    settled(again)
    (end,) = [event for event in hook.events if event.type == "publish_stop"]
    assert "duration_sec" not in end.data and end.data["reason"] == "server_crash"
    assert end.data["last_seen"] == pytest.approx(seen, abs=2)
    assert end.data["at_least_sec"] == pytest.approx(seen - began, abs=2)


@pytest.mark.parametrize(
    ("there", "told"), [(["a.flv.part"], "a.flv.part"), (["a.flv"], "a.flv"), (["a.flv", "a.flv.part"], "a.flv"),
                        ([], "a.flv")]
)  # fmt: skip
def test_the_path_of_a_recording_that_a_crash_cut_short_is_the_file_that_is_there(managed, tmp_path, there, told):
    manager = managed()
    add(manager, Taker())
    path = str(tmp_path / "a.flv")
    manager.emit("recording_start", stream_key="live/a", path=path, format="flv", session_id="s1")
    settled(manager)
    for name in there:
        (tmp_path / name).touch()
    again = managed(crash_image(manager, tmp_path))
    hook = add(again, Taker())
    assert again.recover() == 1
    settled(again)
    (end,) = [event for event in hook.events if event.type == "recording_stop"]
    assert end.data["path"] == str(tmp_path / told)


def test_an_orderly_end_leaves_nothing_to_tell(managed):
    manager = managed()
    add(manager, Taker())
    manager.emit("publish_start", stream_key="live/a", session_id="s1")
    manager.emit("publish_stop", stream_key="live/a", session_id="s1")
    settled(manager)
    manager.close(1)
    again = managed()
    add(again, Taker())
    assert again.recover() == 0


def test_what_has_ended_is_not_kept_in_mind(managed):
    manager = managed()
    add(manager, Taker())
    publish(manager, "live/a", "live/b")
    manager.emit("publish_stop", stream_key="live/a", session_id="live/a")
    settled(manager)
    assert len(manager.events._sessions) == 1


def test_a_store_is_used_by_one_process_at_a_time(managed):
    add(managed(), Taker())
    with pytest.raises(StartError, match="in use by another process"):
        add(managed(), Taker())


def test_a_full_store_gives_up_the_oldest_and_says_so(managed):
    manager = managed(size_bytes=1 << 20)
    held = add(manager, HeldHook("taker"))
    teller = Taker("teller")
    manager.register(teller, ["events_dropped"])
    for number in range(6000):
        manager.emit("stream_not_found", stream_key=f"live/{number}", stream_name="x" * 200)
        if number % 200 == 0:
            gevent.sleep(0)
    until(lambda: manager.events.committed == 6000)
    manager.events.retention.tidy()
    until(lambda: teller.events)
    manager.events.retention.tidy()
    assert manager.events.retention.used_bytes <= 1 << 20
    held.go.set()
    settled(manager)
    lost = sum(event.data["count"] for event in teller.events)
    assert lost > 0
    assert len(held.done) + lost == 6000
    assert teller.events[0].data["reason"] == "store_full"


def test_what_was_handed_out_meanwhile_is_not_given_up(managed, monkeypatch):
    manager = managed()
    add(manager, HeldHook("taker"))
    publish(manager, *[f"live/{number}" for number in range(3000)])
    until(lambda: manager.events.committed == 3000)
    events, feed = manager.events, manager.events.feeds["taker"]
    ask = events.ask

    def ask_slowly(question, *values):
        answer = ask(question, *values)
        if question.__name__ == "last_routes":
            feed._cursor = events.accepted
        return answer

    monkeypatch.setattr(events, "ask", ask_slowly)
    assert events.retention._give_up()
    assert events.dropped("taker") == 0


def test_a_gap_that_tidying_did_not_write_is_written_with_the_next_events(managed):
    manager = managed()
    add(manager, HeldHook("taker"))
    publish(manager, "live/a")
    until(lambda: manager.events.committed == 1)
    manager.events._batch.gaps.append(GapRow("taker", 1.0, 5, 6, 2, "expired"))
    assert manager.events.retention._collect("") == 0
    publish(manager, "live/b")
    until(lambda: manager.events.committed == 2)
    assert manager.events.ask(manager.events.database.trim, "gap", 0) == 1


@proves("store.full")
def test_a_full_store_that_drops_the_newest_takes_no_more_until_there_is_room(managed):
    manager = managed(size_bytes=1 << 20, full="drop_newest")
    held, teller = add(manager, HeldHook("taker")), Taker("teller")
    manager.register(teller, ["events_dropped"])
    for number in range(6000):
        manager.emit("stream_not_found", stream_key=f"live/{number}", stream_name="x" * 200)
        if number % 200 == 0:
            gevent.sleep(0)
    until(lambda: manager.events.committed == 6000)
    manager.events.retention.tidy()
    assert manager.events.retention.is_full
    publish(manager, *[f"late/{number}" for number in range(10)])
    until(lambda: teller.events)
    assert [event.data["count"] for event in teller.events] == [10]
    held.go.set()
    settled(manager)
    assert len(held.done) == 6000 and not any("late/" in name for name in held.done)


def test_a_file_that_can_not_grow_stops_nobody_and_loses_nothing_quietly(managed):
    manager = managed(pages=60, full="drop_newest", staged_events=100)
    held = add(manager, HeldHook("taker"))
    teller = Taker("teller")
    manager.register(teller, ["events_dropped"])
    for number in range(2000):
        manager.emit("publish_start", stream_key=f"live/{number}", session_id=str(number))
        if number % 50 == 0:
            gevent.sleep(0.001)
    until(lambda: manager.events.fault)
    assert "full" in manager.events.fault
    held.go.set()
    settled(manager)
    until(lambda: teller.events)
    assert len(held.done) + sum(event.data["count"] for event in teller.events) == 2000


def test_what_expired_while_a_hook_was_away_is_told(managed):
    manager = managed(retention_s=0)
    add(manager, HeldHook("taker"))
    publish(manager, *[f"live/{n}" for n in range(200)])
    until(lambda: manager.events.committed == 200)
    manager.close(0)
    between = managed(retention_s=0)
    add(between, Taker("other"))
    publish(between, "live/x")
    settled(between)
    gevent.sleep(0.01)
    between.events.retention.tidy()
    between.close(1)
    again = managed()
    teller = Taker("teller")
    again.register(teller, ["events_dropped"])
    hook = add(again, Taker())
    publish(again, "live/y")
    settled(again)
    until(lambda: teller.events)
    lost = sum(event.data["count"] for event in teller.events)
    assert {event.data["reason"] for event in teller.events} == {"expired"}
    assert len(hook.events) + lost == 201
    assert hook.events[-1].seq == 201


def test_a_hook_that_seldom_gets_anything_keeps_nothing_from_being_tidied(managed):
    manager = managed(retention_s=0)
    seldom = add(manager, Taker("seldom"), event_types=["server_stop"])
    add(manager, Taker())
    publish(manager, *[f"live/{n}" for n in range(50)])
    settled(manager)
    gevent.sleep(0.01)
    manager.events.retention.tidy()
    assert manager.events.ask(manager.events.database.bounds) == (0, 0)
    manager.emit("server_stop")
    settled(manager)
    assert [event.seq for event in seldom.events] == [1]


def test_what_waits_for_a_hook_that_was_removed_goes_when_retention_ends(managed):
    manager = managed(retention_s=0)
    held = add(manager, HeldHook("taker"))
    publish(manager, *[f"live/{n}" for n in range(200)])
    until(lambda: manager.events.committed == 200)
    manager.unregister("taker")
    held.go.set()
    until(lambda: manager.events.feeds["taker"].is_parked)
    until(lambda: tidied(manager))
    teller = Taker("teller")
    manager.register(teller, ["events_dropped"])
    pages = []
    ask = manager.events.ask
    manager.events.ask = lambda question, *values: (pages.append(question.__name__), ask(question, *values))[1]
    hook = add(manager, Taker())
    until(lambda: teller.events)  # before anything else happens
    lost = sum(event.data["count"] for event in teller.events)
    assert lost > 100 and len(held.done) + lost == 200
    assert manager.lanes["taker"].queued == 0 and pages.count("page") <= 2
    publish(manager, "live/y")
    settled(manager)
    assert [event.seq for event in hook.events] == [201]


def tidied(manager):
    """Whether nothing is left in the log when it has been looked at."""
    manager.events.retention.tidy()
    return manager.events.ask(manager.events.database.bounds) == (0, 0)


def test_of_gaps_the_latest_are_kept(managed):
    manager = managed()
    add(manager, Taker())
    log = manager.events
    for number in range(5):
        log.gap(log.feeds["taker"], number, number, 1, "expired")
    until(lambda: len(log.ask(log.database.gaps, "taker", 10)) == 5)
    assert log.ask(log.database.trim, "gap", 2) == 3
    assert [gap[1] for gap in log.ask(log.database.gaps, "taker", 10)] == [4, 3]
    assert log.ask(log.database.trim, "gap", 2) == 0


def test_what_is_under_way_when_a_hook_is_resumed_is_not_sent_a_second_time_meanwhile(managed):
    """The endpoint of one event says 410, an operator resumes the hook, and then another event that was sent before
    that fails."""
    manager, go, seen = managed(), gevent.event.Event(), []

    def answer(event):
        seen.append((event.stream_key, getattr(event, "redelivered", "")))
        if (len(seen) > 2 and event.stream_key == "live/a") or seen.count(("live/b", "error")):
            return
        if event.stream_key == "live/a":
            until(lambda: len(seen) == 2)
            raise PermanentDeliveryError("gone", "status:410")
        go.wait()
        raise TransientDeliveryError("down", "status:503")

    hook = add(manager, Taker(answer=answer))
    lane = manager.lanes["taker"]
    publish(manager, "live/a", "live/b")
    until(lambda: lane.state == "disabled")
    lane.resume()
    until(lambda: hook.keys == ["live/a"])
    for _ in range(20):
        gevent.sleep(0)
    assert seen == [("live/a", ""), ("live/b", ""), ("live/a", "error")]
    go.set()
    settled(manager)
    assert hook.keys == ["live/a", "live/b"] and seen[-1] == ("live/b", "error") and len(seen) == 4
