"""The pid file: its lock is the judge."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from rtmpd.daemon.pidfile import PidFile
from rtmpd.errors import StartError


def test_the_file_holds_our_id_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "rtmpd.pid"
    file = PidFile(str(path))
    old = os.umask(0o077)
    try:
        file.take()
    finally:
        os.umask(old)
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o644
    file.release()
    file.release()
    assert not path.exists()


def test_a_second_daemon_is_refused_with_the_id_of_the_first(tmp_path: Path) -> None:
    path = str(tmp_path / "rtmpd.pid")
    first = PidFile(path)
    first.take()
    with pytest.raises(StartError, match=f"is already running, as process {os.getpid()}") as caught:
        PidFile(path).take()
    assert caught.value.status == os.EX_TEMPFAIL
    assert Path(path).read_text() == f"{os.getpid()}\n"
    first.release()
    second = PidFile(path)
    second.take()
    second.release()


@pytest.mark.parametrize("content", ["1\n", "999999999999\n", "", "not a number " * 20])
def test_a_file_that_nobody_locks_is_taken_over_whatever_it_says(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rtmpd.pid"
    path.write_text(content)
    file = PidFile(str(path))
    file.take()
    assert path.read_text() == f"{os.getpid()}\n"
    file.release()


def test_a_file_that_was_removed_while_we_waited_for_it_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rtmpd.pid"
    real, calls = fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        if not calls:
            path.unlink()  # as the one who had it does between our open and our lock
        calls.append(descriptor)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    file = PidFile(str(path))
    file.take()
    assert len(calls) == 2 and path.read_text() == f"{os.getpid()}\n"
    file.release()


@pytest.mark.parametrize("name", ["missing/rtmpd.pid", "link"])
def test_a_file_that_can_not_be_made_is_status_73(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match=name) as caught:
        PidFile(str(tmp_path / name)).take()
    assert caught.value.status == os.EX_CANTCREAT
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_can_not_be_removed_any_more_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rtmpd.pid"
    file = PidFile(str(path))
    file.take()

    def refuse(path: str) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "unlink", refuse)
    file.release()
    assert path.read_text() == ""
