"""Files that were changed are seen once, when they have come to rest."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import gevent.event
import pytest

from rtmpd.config.files import names
from rtmpd.daemon.filewatch import FileWatch, signature


class Watched:
    """A file, its watch, and how often it told of a change."""

    def __init__(self, home: Path) -> None:
        self.file = home / "rtmpd.ini"
        self.file.write_text("one\n")
        self.told = 0
        self.watch = FileWatch(lambda: names(str(self.file)), lambda: 0.01, self._tell)

    def _tell(self) -> None:
        self.told += 1

    def look(self, times: int = 2) -> int:
        for _ in range(times):
            self.watch.look()
        return self.told


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def replaced(watched: Watched) -> None:
    other = watched.file.with_name("new")
    other.write_text("two\n")
    os.replace(other, watched.file)


def same_size(watched: Watched) -> None:
    watched.file.write_text("two\n")
    os.utime(watched.file, (1, 1))


def drop_in(watched: Watched) -> None:
    (watched.file.parent / "conf.d").mkdir()
    (watched.file.parent / "conf.d" / "a.ini").write_text("[log]\n")


@pytest.mark.parametrize(
    "change", [replaced, same_size, drop_in, lambda watched: watched.file.unlink()],
    ids=["replaced", "same_size", "drop_in", "removed"],
)  # fmt: skip
def test_a_change_is_told_once(watched: Watched, change: Callable[[Watched], None]) -> None:
    assert watched.look(5) == 0
    change(watched)
    assert watched.look(5) == 1


def test_a_file_that_is_being_written_is_left_alone_until_it_rests(watched: Watched) -> None:
    for size in range(5):
        watched.file.write_text("x" * (10 + size))
        assert watched.look(1) == 0
    assert watched.look(1) == 1


def test_what_is_read_anyway_is_no_news(watched: Watched) -> None:
    watched.file.write_text("longer\n")
    watched.watch.seen()
    assert watched.look(5) == 0
    watched.file.write_text("longer still\n")
    assert watched.look() == 1


def test_other_files_beside_it_do_not_count(watched: Watched) -> None:
    drop_in(watched)
    watched.look()
    before = signature([str(watched.file)])
    (watched.file.parent / "conf.d" / "a.ini~").write_text("")
    (watched.file.parent / "notes.ini").write_text("")
    assert signature([str(watched.file)]) == before


def test_the_period_is_that_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmpd.daemon.filewatch._OFF_LOOK_S", 0.001)
    file = tmp_path / "rtmpd.ini"
    file.write_text("one\n")
    told, period_s = gevent.event.Event(), [0.0]
    watch = FileWatch(lambda: names(str(file)), lambda: period_s[0], told.set)
    watch.start()
    try:
        file.write_text("another\n")
        period_s[0] = 0.002
        assert told.wait(5)
    finally:
        watch.stop()


def test_a_watch_that_is_switched_off_does_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmpd.daemon.filewatch._OFF_LOOK_S", 0.001)
    file = tmp_path / "rtmpd.ini"
    file.write_text("one\n")
    rounds, enough, told = [], gevent.event.Event(), []

    def period_s() -> float:
        rounds.append(1)
        if len(rounds) > 20:
            enough.set()
        return 0.0

    watch = FileWatch(lambda: names(str(file)), period_s, lambda: told.append(1))
    watch.start()
    try:
        file.write_text("another\n")
        assert enough.wait(5) and not told
    finally:
        watch.stop()
