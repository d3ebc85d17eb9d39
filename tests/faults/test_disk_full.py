"""No room: streaming goes on, and every event that is given up is counted."""

from __future__ import annotations

import os
import subprocess

import gevent
import pytest

from tests.support.waiting import until

from .auditor import audit
from .inproc import Noting, ends, managed, noting_accepted

_EVENTS = 3000


def fill(path, relieve=lambda: None, **store):
    """Emit more than there is room for, with one hook that takes and one that does not, until the file is full; then
    everything is delivered. The manager, the lines, and the lines of a hook that has nothing to do with the log."""
    accepted, received, plain = [], [], []
    with noting_accepted(accepted):
        held = Noting("held", received, held=True)
        manager = managed(path, Noting("taker", received), held, staged_events=200, **store)
        manager.register(Noting("plain", plain), queue_events=100_000)
        was_full = False
        for number in range(0, _EVENTS, 50):
            for each in range(number, number + 50):
                manager.emit("stream_not_found", stream_key=f"live/{each % 7}", stream_name="x" * 300)
            gevent.sleep(0.005)
            was_full = was_full or any("full" in fault.message for fault in manager.faults())
        until(lambda: len(plain) >= _EVENTS)
        relieve()
        held.go.set()
        feeds = manager.events.feeds
        until(lambda: not manager.events.staged and not any(feed.backlog for feed in feeds.values()))
        until(lambda: not manager.events.fault and not manager.events._shed and not manager.events._dirty)
        verdict = audit(accepted, received, ends(manager))
        lost = {id: sum(gap[3] for gap in ends(manager).gaps if gap[0] == id) for id in feeds}
        manager.close(1)
    return verdict, lost, received, plain, was_full


@pytest.mark.parametrize("full", ["drop_oldest", "drop_newest"])
def test_a_file_that_can_not_grow_harms_no_other_hook_and_every_event_is_counted(full, tmp_path):
    verdict, lost, received, plain, was_full = fill(str(tmp_path / "events.db"), pages=100, full=full)
    judge(verdict, lost, received, plain, was_full)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_a_disk_that_is_full_harms_no_other_hook_and_every_event_is_counted(tmp_path):
    """SQLite cannot even delete without room in its WAL, so the log goes on when somebody makes some."""
    command = ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        ballast = tmp_path / "of somebody else"
        ballast.write_bytes(bytes(1 << 20))
        judge(*fill(str(tmp_path / "events.db"), ballast.unlink))
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def judge(verdict, lost, received, plain, was_full):
    assert was_full and lost["held"] > 0
    assert verdict.is_good, verdict
    assert [line["seq"] for line in plain if line["type"] == "stream_not_found"] and len(plain) >= _EVENTS
    for id, count in lost.items():
        taken = {line["id"] for line in received if line["hook"] == id}
        told = {line["id"] for line in received if line["hook"] == id and line["type"] == "events_dropped"}
        assert len(taken) - len(told) + count >= _EVENTS
        numbers = {line["seq"] for line in received if line["hook"] == id}
        assert len(numbers) + count == max(numbers | {0}) or count, "each number is taken or in a gap"
