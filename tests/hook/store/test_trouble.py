"""A store that cannot be written: what waits is counted as waiting, what is lost as lost, and both are seen at once."""

from __future__ import annotations

import os
import subprocess

import gevent
import pytest

from rtmpd.clock import Clock
from rtmpd.errors import StartError, StoreFault, StoreFull
from rtmpd.hook.manager import HookManager
from rtmpd.hook.store import database as database_module
from rtmpd.hook.store.database import Database, Reserve, unusable
from rtmpd.hook.store.log import EventLog
from rtmpd.settings import HooksSettings, StoreSettings
from tests.support.hooks import HeldHook
from tests.support.waiting import until

from .test_durable import Later, Taker, add, managed, publish, settled  # noqa: F401  managed is a fixture


class Disk:
    """What happens when the store writes: ``fault`` is raised as long as it is set."""

    def __init__(self, monkeypatch):
        self.fault = None
        monkeypatch.setattr(Database, "make_room", lambda database: False)
        for name in ("commit", "collect", "mark_alive", "mark_running", "trim"):
            monkeypatch.setattr(Database, name, self.wrapped(getattr(Database, name)))

    def wrapped(self, method):
        def instead(database, *values):
            if self.fault:
                raise self.fault
            return method(database, *values)

        return instead

    def fills_up(self):
        self.fault = StoreFull("database or disk is full")


@pytest.fixture
def disk(monkeypatch):
    monkeypatch.setattr("rtmpd.hook.store.log._RETRY_S", 0.02)
    return Disk(monkeypatch)


def facts(manager, id="taker"):
    return manager.stats()["hooks"][id]


# --- what is seen while it lasts ------------------------------------------------------------------


def test_what_waits_for_the_disk_is_queued_and_the_fault_has_a_name(managed, disk):  # noqa: F811
    manager = managed()
    add(manager, Taker())
    publish(manager, "live/a")
    settled(manager)
    assert [*manager.faults()] == [] and facts(manager)["queued"] == 0
    disk.fills_up()
    publish(manager, *[f"live/{number}" for number in range(50)])
    until(lambda: manager.events.fault)
    publish(manager, *[f"late/{number}" for number in range(7)])
    assert facts(manager)["queued"] == 57
    (fault,) = manager.faults()
    assert (fault.kind, fault.subject) == ("store_not_writable", manager.events._settings.path)
    assert fault.message == "database or disk is full; 57 events wait in memory"
    values = {reading.name: reading.value for reading in manager.read()}
    assert (values["rtmp_store_up"], values["rtmp_store_staged_events"]) == (0, 57)
    disk.fault = None
    settled(manager)
    assert [*manager.faults()] == [] and facts(manager)["queued"] == 0


def test_the_drop_counter_moves_before_the_gap_can_be_written(managed, disk):  # noqa: F811
    manager = managed(staged_events=10)
    hook, teller = add(manager, Taker()), Taker("teller")
    manager.register(teller, ["events_dropped"])
    add(manager, Taker("idle"), event_types=["server_stop"])
    settled(manager)
    disk.fills_up()
    publish(manager, *[f"live/{number}" for number in range(5)])
    until(lambda: manager.events.fault)
    publish(manager, *[f"live/{number}" for number in range(100)])
    assert facts(manager)["dropped"] == 90 and facts(manager)["queued"] == 15
    assert facts(manager, "idle")["dropped"] == 0
    disk.fault = None
    settled(manager)
    until(lambda: teller.events)
    assert sum(event.data["count"] for event in teller.events) == facts(manager)["dropped"] == 90
    assert {event.data["reason"] for event in teller.events} == {"store_not_writable"}
    assert len(hook.events) == 15


def test_what_waits_for_the_disk_is_bounded_in_bytes_too(managed, disk):  # noqa: F811
    manager = managed(staged_bytes=2000)
    add(manager, Taker())
    settled(manager)
    disk.fills_up()
    publish(manager, "live/a")
    until(lambda: manager.events.fault)
    publish(manager, *[f"live/{number}" for number in range(100)])
    waiting = facts(manager)["queued"]
    assert 2 <= waiting <= 20 and facts(manager)["dropped"] == 101 - waiting


def test_an_idle_store_that_cannot_be_written_is_noticed_and_so_is_its_end(managed, disk):  # noqa: F811
    manager = managed()
    add(manager, Taker())
    publish(manager, "live/a")  # a session that has not ended
    settled(manager)
    disk.fault = StoreFault("disk I/O error")
    manager.events.sign_of_life()
    assert [fault.message for fault in manager.faults()] == ["disk I/O error; 0 events wait in memory"]
    disk.fault = None
    manager.events.sign_of_life()
    assert [*manager.faults()] == []


def test_one_line_says_it_and_another_one_that_it_is_over(managed, disk, caplog):  # noqa: F811
    manager = managed()
    add(manager, Taker())
    settled(manager)
    disk.fills_up()
    publish(manager, "live/a")
    commits = manager.events.commits
    gevent.sleep(0.3)
    disk.fault = None
    until(lambda: manager.events.commits > commits)
    lines = [record.getMessage() for record in caplog.records if record.name == "rtmpd.store"]
    assert lines == ["event store cannot be written", "event store works again"]


def test_a_store_that_cannot_be_read_is_a_fault_of_its_own(managed, monkeypatch):  # noqa: F811
    monkeypatch.setattr("rtmpd.hook.store.log._RETRY_S", 0.02)
    manager = managed()
    held = add(manager, HeldHook("taker"))
    publish(manager, *[f"live/{number}" for number in range(300)])
    until(lambda: manager.events.committed == 300)
    page = Database.page

    def fails(*values):
        raise StoreFault("disk I/O error")

    monkeypatch.setattr(Database, "page", fails)
    held.go.set()
    until(lambda: [fault.kind for fault in manager.faults()] == ["store_not_readable"])
    monkeypatch.setattr(Database, "page", page)
    settled(manager)
    assert len(held.done) == 300 and [*manager.faults()] == []


def test_an_alert_about_the_store_does_not_wait_for_the_store(managed, disk):  # noqa: F811
    manager = managed()
    hook = add(manager, Taker())
    settled(manager)
    disk.fills_up()
    publish(manager, "live/a")
    until(lambda: manager.events.fault)
    manager.emit("resource_alert", metric_type="event_store", state="raised", severity="critical")
    manager.emit("resource_alert", metric_type="descriptors", state="raised", severity="critical")
    until(lambda: hook.events)
    (alert,) = hook.events
    assert (alert.type, alert.data["metric_type"], alert.seq) == ("resource_alert", "event_store", 0)
    disk.fault = None
    settled(manager)
    until(lambda: len(hook.events) == 3)
    assert [event.seq for event in hook.events] == [0, 1, 2], "what goes past the store takes no number of the hook"


def test_what_goes_past_the_store_never_pushes_out_what_the_store_has_handed_out(managed, disk):  # noqa: F811
    manager = managed()
    held = add(manager, HeldHook("taker"), queue_events=1)
    publish(manager, *[f"live/{number}" for number in range(20)])
    until(lambda: manager.events.committed == 20)
    disk.fills_up()
    publish(manager, "live/x")
    until(lambda: manager.events.fault)
    for _ in range(5):
        manager.emit("resource_alert", metric_type="event_store", state="raised", severity="critical")
    held.go.set()
    disk.fault = None
    settled(manager)
    until(lambda: len(held.done) == 26)


# --- restarts -------------------------------------------------------------------------------------


def test_what_was_staged_at_the_end_is_a_gap_of_the_next_start(managed, disk):  # noqa: F811
    manager = managed(staged_events=10)
    add(manager, Taker())
    publish(manager, "live/a", "live/b")
    settled(manager)
    until(lambda: [row.settled for row in manager.events.ask(manager.events.database.load).lanes] == [2])
    disk.fills_up()
    publish(manager, *[f"live/{number}" for number in range(3)])
    until(lambda: manager.events.fault)
    publish(manager, *[f"live/{number}" for number in range(25)])
    assert manager.events.close(0.2) == 28
    manager.events = None
    disk.fault = None
    again = managed()
    teller = Taker("teller")
    again.register(teller, ["events_dropped"])
    hook = add(again, Taker())
    publish(again, "live/c")
    settled(again)
    until(lambda: teller.events)
    (gap,) = teller.events
    told = {key: gap.data[key] for key in ("hook_id", "count", "reason", "from_seq", "to_seq")}
    assert told == {"hook_id": "taker", "count": 28, "reason": "store_not_writable", "from_seq": 3, "to_seq": 30}
    assert [(event.stream_key, event.seq) for event in hook.events] == [("live/c", 31)]
    again.close(1)
    third = managed()
    other = Taker("teller")
    third.register(other, ["events_dropped"])
    add(third, Taker())
    publish(third, "live/d")
    settled(third)
    assert other.events == [], "it is reported once"


def test_a_note_of_what_the_file_has_after_all_is_no_gap(managed, tmp_path):  # noqa: F811
    manager = managed()
    add(manager, Taker())
    publish(manager, "live/a", "live/b")
    settled(manager)
    manager.close(1)
    Reserve(f"{tmp_path}/events.db-reserve").note({"taker": 2, "gone": 7})
    again = managed()
    teller = Taker("teller")
    again.register(teller, ["events_dropped"])
    hook = add(again, Taker())
    publish(again, "live/c")
    settled(again)
    assert (teller.events, [event.seq for event in hook.events]) == ([], [3])


def test_a_start_with_a_full_disk_begins_and_delivers_nothing_that_a_crash_would_hide(managed, disk):  # noqa: F811
    manager = managed()
    add(manager, HeldHook("taker"))
    publish(manager, "live/a", "live/b")
    until(lambda: manager.events.committed == 2)
    manager.close(0)
    disk.fills_up()
    again = managed()
    plain = Taker("plain")
    again.register(plain)
    hook = add(again, Taker())
    publish(again, "live/c")
    until(lambda: len(plain.events) == 1)
    assert [fault.kind for fault in again.faults()] == ["store_not_writable"]
    gevent.sleep(0.1)
    assert hook.events == [], "the file still says that the last end was in order"
    assert facts(again)["queued"] == 3
    disk.fault = None
    settled(again)
    assert hook.keys == ["live/a", "live/b", "live/c"] and [*again.faults()] == []


def test_other_trouble_than_a_full_disk_still_stops_the_start(managed, disk):  # noqa: F811
    disk.fault = StoreFault("attempt to write a readonly database")
    with pytest.raises(StartError, match=r"event store .*: attempt to write a readonly database"):
        add(managed(), Taker())


def test_an_end_that_took_too_long_is_not_in_order_so_that_copies_say_so(managed, disk):  # noqa: F811
    manager = managed()
    held = add(manager, HeldHook("taker"))
    publish(manager, "live/a")
    until(lambda: held.started)
    disk.fills_up()
    publish(manager, "live/b")
    until(lambda: manager.events.fault)
    disk.fault = None
    manager.events._until_written = lambda batch: gevent.sleep(60)  # a disk that hangs
    publish(manager, "live/c")
    gevent.sleep(0.05)
    manager.close(0)
    again = managed()
    hook = add(again, Taker())
    until(lambda: hook.events)
    assert getattr(hook.events[0], "redelivered", "") == "recovery"


def test_the_last_sign_of_life_is_in_the_file(managed, tmp_path):  # noqa: F811
    clock = Later()
    manager = HookManager(HooksSettings(store=StoreSettings(str(tmp_path / "life.db"))), clock)
    add(manager, Taker())
    manager.events.sign_of_life()
    assert manager.events.database.load().alive_at == 0.0, "nothing has begun, so that nobody will ask"
    publish(manager, "live/a")
    settled(manager)
    clock.shift_s = 3600.0
    manager.events.sign_of_life()
    assert manager.events.ask(manager.events.database.load).alive_at == pytest.approx(clock.wall(), abs=60)
    manager.close(1)


def test_what_is_settled_is_kept_for_the_retention_and_no_longer(tmp_path):
    clock = Later()
    settings = HooksSettings(store=StoreSettings(str(tmp_path / "kept.db"), retention_s=600.0))
    manager = HookManager(settings, clock)
    add(manager, Taker())
    publish(manager, *[f"live/{number}" for number in range(5)])
    settled(manager)
    bounds = manager.events.database.bounds
    for shift_s, left in ((0.0, (1, 5)), (590.0, (1, 5)), (610.0, (0, 0))):
        clock.shift_s = shift_s
        manager.events.retention.tidy()
        assert manager.events.ask(bounds) == left, shift_s
    manager.close(1)


# --- the reserve ----------------------------------------------------------------------------------


def test_the_reserve_is_taken_given_back_and_written_to_in_place(tmp_path, monkeypatch):
    monkeypatch.setattr(database_module, "_RESERVE_BYTES", 1 << 20)
    reserve = Reserve(str(tmp_path / "x-reserve"))
    assert reserve.noted() == {} and not reserve.release()
    reserve.fill()
    used = os.stat(tmp_path / "x-reserve")
    assert used.st_size == 1 << 20 and used.st_blocks * 512 >= 1 << 20, "the blocks are there, not only the length"
    assert reserve.note({"a": 1, "b": 22}) and reserve.noted() == {"a": 1, "b": 22}
    assert reserve.release() and not reserve.release()
    assert reserve.noted() == {"a": 1, "b": 22}
    assert reserve.note({"c": 3}) and reserve.noted() == {"c": 3}
    (tmp_path / "x-reserve").write_bytes(b"\xff garbage")
    assert reserve.noted() == {}
    assert not reserve.note({f"hook-{number}": 10**9 for number in range(10_000)}), "too long for its place"


# --- what can be known beforehand -----------------------------------------------------------------


def test_what_would_keep_a_store_from_being_opened_is_found_without_opening_it(managed, tmp_path, monkeypatch):  # noqa: F811
    manager = managed()
    add(manager, Taker())
    settled(manager)
    path = manager.events._settings.path
    assert unusable(path) == "", "one that another process has open is fine"
    assert unusable(str(tmp_path / "new.db")) == ""
    assert unusable(str(tmp_path / "none" / "new.db")).endswith("none: No such file or directory")
    (tmp_path / "text.db").write_text("no database, but some text that is long enough to be one " * 3)
    assert unusable(str(tmp_path / "text.db")).startswith("it is not an SQLite database")
    with open(path, "rb") as store:
        head = bytearray(store.read(100))
    head[60:64] = (99).to_bytes(4)
    (tmp_path / "newer.db").write_bytes(head)
    assert unusable(str(tmp_path / "newer.db")).startswith("has version 99, this rtmpd knows 1")
    monkeypatch.setattr(os, "access", lambda name, mode, **how: name != path)
    assert unusable(path) == f"uid {os.geteuid()} may not write it"
    monkeypatch.setattr(os, "access", lambda name, mode, **how: False)
    assert unusable(path).startswith(f"uid {os.geteuid()} may not write in {tmp_path}")


# --- a real full disk -----------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """A file system of 56 MB."""
    if os.geteuid():
        pytest.skip("only root can mount a file system")
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=56m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder):
    """Somebody else takes all the room that is left."""
    with open(folder / "of somebody else", "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(65536))
        except OSError:
            pass
        try:
            while True:
                ballast.write(bytes(1024))
        except OSError:
            pass


def storm(manager, count, first=0):
    for number in range(first, first + count):
        manager.emit("stream_not_found", stream_key=f"live/{number % 7}", stream_name="x" * 1000)
        if number % 50 == 0:
            gevent.sleep(0.005)


def test_a_full_disk_takes_replay_away_before_it_takes_events(small, monkeypatch, caplog):
    """SQLite needs room even to delete. The reserve gives it that room once; after it the store lives on the pages that
    delivered events leave free."""
    monkeypatch.setattr(database_module, "_RESERVE_BYTES", 4 << 20)
    manager = HookManager(HooksSettings(store=StoreSettings(str(small / "events.db"))), Clock())
    hook = add(manager, Taker())
    storm(manager, 3000)
    until(lambda: len(hook.events) == 3000)
    fill_up(small)
    storm(manager, 9000, 3000)
    until(lambda: len(hook.events) == 12_000, timeout_s=60)
    assert facts(manager)["dropped"] == 0
    assert [(fault.kind, fault.message) for fault in manager.events.faults()] == [
        ("store_full", "its disk is full, so that the file does not grow")
    ]
    assert [r.getMessage() for r in caplog.records if r.name == "rtmpd.store"] == ["disk of the event store is full"]
    size = os.stat(small / "events.db").st_size
    (small / "of somebody else").unlink()
    manager.events.retention.tidy()
    assert os.stat(small / "events.db-reserve").st_size == 4 << 20, "for the next time"
    assert [*manager.events.faults()] == []
    storm(manager, 9000, 12_000)
    until(lambda: len(hook.events) == 21_000, timeout_s=60)
    assert os.stat(small / "events.db").st_size > size, "and the file grows again"
    manager.close(2)


def test_a_daemon_whose_new_store_has_no_room_begins_and_makes_it_later(small):
    fill_up(small)
    manager = HookManager(HooksSettings(store=StoreSettings(str(small / "events.db"))), Clock())
    hook = add(manager, Taker())
    publish(manager, "live/a", "live/b")
    until(lambda: manager.events.fault)
    assert [fault.kind for fault in manager.faults()] == ["store_not_writable"]
    assert facts(manager)["queued"] == 2
    gevent.sleep(0.1)
    assert hook.events == []
    (small / "of somebody else").unlink()
    until(lambda: len(hook.events) == 2)
    settled(manager)
    assert [event.seq for event in hook.events] == [1, 2] and [*manager.faults()] == []
    manager.close(1)
    again = EventLog(StoreSettings(str(small / "events.db")), Clock(), lambda *facts: None)
    assert again.accepted == 2
    again.close(1)
