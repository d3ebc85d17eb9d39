"""Power cuts and disks that fail, on a file system in memory that forgets what was not synced."""

from __future__ import annotations

import random

import gevent
import pytest

pytest.importorskip("apsw", reason="the file system that forgets is made with apsw")

from tests.support.waiting import until

from . import power_trials
from .auditor import audit
from .inproc import Noting, ends, is_drained, managed, noting_accepted, publish
from .power import Disk, plugged


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "events.db")


def test_a_cut_loses_nothing_with_full(tmp_path):
    figures = power_trials.run(tmp_path, "full", 20, seed=1)
    assert figures.cuts == 20 and figures.accepted > 500 and figures.inside_checkpoints
    assert (figures.lost, figures.unreadable, figures.other_faults) == (0, 0, {})


def test_a_cut_loses_something_with_normal_so_the_test_can_see_it(tmp_path):
    figures = power_trials.run(tmp_path, "normal", 10, seed=1)
    assert figures.losing_cuts > 0 and figures.lost > 0 and figures.unreadable == 0


def test_the_file_system_forgets_what_was_not_synced():
    disk = Disk()
    handle = disk.xOpen("/a", [2, 0])
    handle.xWrite(b"kept", 0)
    handle.xSync(0)
    handle.xWrite(b"lost", 4)
    assert handle.xRead(100, 0) == b"keptlost"
    assert disk.cut() == {"/a": b"kept"}
    assert {disk.cut(random.Random(seed))["/a"] for seed in range(20)} == {b"kept", b"keptlost"}


def test_a_disk_that_fails_to_sync_has_nothing_accepted_and_nothing_lost(path):
    accepted, received = [], []
    disk = Disk()
    with plugged(disk, path), noting_accepted(accepted):
        taker = Noting("taker", received)
        manager = managed(path, taker, Noting("held", received, held=True))
        publish(manager, 0, 20)
        until(lambda: len(accepted) == 20)
        before = len(accepted)
        disk.failing_syncs = 1_000_000
        publish(manager, 20, 20)
        until(lambda: manager.events.fault and disk.failed_syncs > 2)
        assert len(accepted) == before, "nothing is accepted that is not on the disk"
        assert manager.events.staged + len(accepted) <= 40
        disk.failing_syncs = 0
        until(lambda: len(accepted) == 40)
        assert manager.events.fault == ""
        files, received = disk.cut(), received[:]
        manager.close(0)
    with plugged(Disk(files), path):
        again = managed(path, Noting("taker", received), Noting("held", received))
        until(lambda: is_drained(again))
        verdict = audit(accepted, received, ends(again))
        again.close(1)
    assert verdict.is_good and verdict.taken == 80, verdict


@pytest.mark.parametrize("failing", [1, 2, 3, 5])
def test_a_batch_that_may_be_written_already_is_written_once(path, failing):
    """The commit fails after all of it is in the file: dead letters must not be two of each."""
    from rtmpd.errors import PermanentDeliveryError

    def refuse(event):
        raise PermanentDeliveryError("no", "status:400")

    accepted, received = [], []
    disk = Disk()
    with plugged(disk, path), noting_accepted(accepted):
        taker = Noting("taker", received)
        taker.answer = refuse
        manager = managed(path, taker)
        for round in range(5):
            disk.failing_syncs = failing
            publish(manager, round * 10, 10)
            until(lambda round=round: len(accepted) == round * 10 + 10)
            until(lambda: is_drained(manager))
        dead = manager.events.ask(manager.events.database.dead, "", 0, 1000)
        manager.close(1)
    assert disk.failed_syncs >= 5
    assert sorted(row.seq for row in dead) == list(range(1, 51))


def test_a_disk_that_fails_now_and_then_under_load_loses_nothing(path):
    draw = random.Random(3)
    accepted, received = [], []
    disk = Disk()

    def fail_sometimes(changed):
        if draw.random() < 0.02:
            disk.failing_syncs = 1

    with plugged(disk, path), noting_accepted(accepted, retry_s=0.002):
        manager = managed(path, Noting("taker", received))
        disk.operation = fail_sometimes
        for number in range(0, 600, 3):
            publish(manager, number, 3)
            gevent.sleep(0.001)
        disk.operation = lambda changed: None
        until(lambda: len(accepted) == 600 and is_drained(manager))
        verdict = audit(accepted, received, ends(manager))
        manager.close(1)
    assert disk.failed_syncs > 3
    assert verdict.is_good and verdict.taken == 600, verdict
