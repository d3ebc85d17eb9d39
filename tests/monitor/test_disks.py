"""Which file systems and directories are watched, and what is said of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtmpd.monitor import disks as module
from rtmpd.monitor.disks import Disks, nearest, unwritable_dir


def test_what_is_not_there_yet_would_be_made_in_the_nearest_directory_above(tmp_path: Path) -> None:
    assert nearest(str(tmp_path / "a" / "b")) == str(tmp_path)
    assert nearest("/") == "/"
    assert unwritable_dir(str(tmp_path / "a" / "b")) == ""


def test_a_directory_that_no_file_can_be_made_in_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert unwritable_dir(str(tmp_path / "file" / "x")) == f"{tmp_path}/file is not a directory"
    monkeypatch.setattr(os, "access", lambda path, mode, **how: False)
    assert unwritable_dir(str(tmp_path)) == f"uid {os.geteuid()} may not write in {tmp_path}"


def test_only_changes_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recordings = tmp_path / "recordings"
    recordings.touch()
    disks = Disks(lambda: [str(tmp_path), "/no/such/folder"], lambda: [str(recordings)])
    for _ in range(3):
        disks.look()
    assert set(disks.percent) == {str(tmp_path)}
    assert [(fault.kind, fault.subject) for fault in disks.faults()] == [("record_dir", str(recordings))]
    recordings.unlink()
    disks.look()
    assert [*disks.faults()] == []
    assert [record.getMessage() for record in caplog.records] == [
        "file system cannot be watched",
        "record_dir cannot be written",
        "record_dir can be written again",
    ]


def test_what_is_not_named_any_more_is_forgotten(tmp_path: Path) -> None:
    paths = [str(tmp_path)]
    disks = Disks(lambda: paths, lambda: paths)
    disks.look()
    paths.clear()
    disks.look()
    assert disks.percent == {} and [*disks.faults()] == []


def test_a_bug_does_not_end_the_looks(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    import gevent

    monkeypatch.setattr(module, "_PERIOD_S", 0.01)
    calls: list[int] = []

    def paths() -> list[str]:
        calls.append(1)
        raise ValueError("a bug")

    disks = Disks(paths, tuple)
    disks.start()
    with gevent.Timeout(10):
        while len(calls) < 3:
            gevent.sleep(0.01)
    disks.stop()
    assert "looking at the disks failed" in caplog.text
