"""Which recordings are deleted, and what is left alone."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rtmpd.output import retention
from rtmpd.output.media_file import open_locked
from rtmpd.output.path import Name, pattern, render, with_suffix
from rtmpd.output.retention import Deleted, sweep
from rtmpd.settings.output import OutputSettings

NOW = 1_800_000_000.0
DAY_S = 86_400


def settings(home: Path, **options: Any) -> OutputSettings:
    values: dict[str, Any] = {"record": "all", "record_path": "{app}/{name}.flv", "record_format": "mp4"} | options
    return replace(OutputSettings(record_dir=str(home)), **values)


def put(path: Path, age_days: float, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (NOW - age_days * DAY_S,) * 2)
    return path


def deleted(home: Path, apps: list[tuple[str, OutputSettings]]) -> list[tuple[str, str]]:
    found = sweep(apps, NOW)
    assert all(isinstance(one, Deleted) for one in found)
    return [(os.path.relpath(one.path, home), one.rule) for one in found if isinstance(one, Deleted)]


def test_what_ended_too_long_ago_goes_the_oldest_first(tmp_path: Path) -> None:
    for name, age_days in (("a", 40.0), ("b", 31.0), ("c", 29.0), ("d", 50.0)):
        put(tmp_path / "live" / f"{name}.flv", age_days)
    apps = [("", settings(tmp_path, record_keep_s=30 * DAY_S))]
    playlist, other = (put(tmp_path / "live" / name, 40) for name in ("m.m3u8", "a.m3u8"))
    put(tmp_path / "live" / "m.mp4", 60)
    assert deleted(tmp_path, apps)[0] == ("live/m.mp4", "age") and not playlist.exists() and other.exists()
    for name, age_days in (("a", 40.0), ("b", 31.0), ("d", 50.0)):
        put(tmp_path / "live" / f"{name}.flv", age_days)
    assert deleted(tmp_path, apps) == [("live/d.flv", "age"), ("live/a.flv", "age"), ("live/b.flv", "age")]
    assert deleted(tmp_path, apps) == []


def test_all_together_are_not_larger_than_they_may_be(tmp_path: Path) -> None:
    for number in range(5):
        put(tmp_path / "live" / f"{number}.mp4", 5 - number, 100)
    assert deleted(tmp_path, [("", settings(tmp_path, record_keep_bytes=250))]) == [
        ("live/0.mp4", "size"), ("live/1.mp4", "size"), ("live/2.mp4", "size"),
    ]  # fmt: skip


def test_the_oldest_go_until_enough_of_the_disk_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        put(tmp_path / "live" / f"{number}.flv", 5 - number)

    def disk(path: str) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=8 + 5 - len(list(Path(path).iterdir())), f_blocks=100, f_frsize=10)

    monkeypatch.setattr(retention.os, "statvfs", disk)
    found = deleted(tmp_path, [("", settings(tmp_path, record_keep_free_percent=10))])
    assert found == [("live/0.flv", "free"), ("live/1.flv", "free")]


def test_a_disk_that_frees_later_what_was_deleted_does_not_lose_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        put(tmp_path / "live" / f"{number}.flv", 5 - number)
    disk = SimpleNamespace(f_bavail=8, f_blocks=100, f_frsize=10)
    monkeypatch.setattr(retention.os, "statvfs", lambda path: disk)
    found = deleted(tmp_path, [("", settings(tmp_path, record_keep_free_percent=10))])
    assert found == [("live/0.flv", "free"), ("live/1.flv", "free")]


def test_a_directory_that_cannot_be_looked_at_is_an_error_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "live" / "a.flv", 5)

    def gone(path: str) -> SimpleNamespace:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

    monkeypatch.setattr(retention.os, "statvfs", gone)
    (error,) = sweep([("", settings(tmp_path, record_keep_free_percent=10))], NOW)
    assert isinstance(error, FileNotFoundError)


@pytest.mark.parametrize(
    ("name", "format"),
    [("films/star-wars.mp4", "mp4"), ("live/cam-holiday.flv", "mp4"), ("live/cam-20260101-000000.mp4", "flv")],
)
def test_what_a_template_cannot_have_named_stays(tmp_path: Path, name: str, format: str) -> None:
    file = put(tmp_path / name, 100)
    template = "{app}/{name}-{time:%Y%m%d-%H%M%S}.flv"
    apps = [("", settings(tmp_path, record_keep_s=1.0, record_path=template, record_format=format))]
    assert deleted(tmp_path, apps) == [] and file.exists()


@pytest.mark.parametrize("kept", [{"record": "off"}, {"record_path": "archive-{name}.flv"}])
def test_recordings_of_an_application_of_the_list_are_not_for_the_rule_of_the_others(
    tmp_path: Path, kept: dict[str, Any]
) -> None:
    file = put(tmp_path / "archive" / "a.flv", 100)
    rest = settings(tmp_path, record_keep_s=1.0)
    assert deleted(tmp_path, [("archive", settings(tmp_path, **kept)), ("", rest)]) == [] and file.exists()


def test_a_directory_with_two_names_is_the_same_directory(tmp_path: Path) -> None:
    file = put(tmp_path / "real" / "archive" / "a.flv", 100)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    kept = settings(tmp_path / "link", record_path="archive/{name}.flv")
    rest = settings(tmp_path / "real", record_keep_s=1.0, record_path="archive/{name}.flv")
    assert deleted(tmp_path, [("archive", kept), ("", rest)]) == [] and file.exists()


def test_without_a_rule_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "live" / "a.flv", 10_000)
    monkeypatch.setattr(retention.os, "walk", None)
    assert deleted(tmp_path, [("", settings(tmp_path))]) == []


def test_what_is_not_a_recording_and_what_is_written_stays(tmp_path: Path) -> None:
    stays = ["a.flv", "live/a.txt", "live/a.flv.part", "live/deep/a.flv", "live/.flv", "live/a.flv~"]
    for name in stays:
        put(tmp_path / name, 100)
    target = put(tmp_path / "elsewhere", 100)
    (tmp_path / "live" / "link.flv").symlink_to(target)
    os.utime(tmp_path / "live" / "link.flv", (0, 0), follow_symlinks=False)
    file = open_locked(str(put(tmp_path / "live" / "open.flv", 100)), 0)
    assert file is not None
    with file:
        put(tmp_path / "live" / "a-12.flv", 100)
        assert deleted(tmp_path, [("", settings(tmp_path, record_keep_s=1.0))]) == [("live/a-12.flv", "age")]
    assert target.exists() and all((tmp_path / name).exists() for name in stays)


def test_what_is_being_written_has_another_name_whatever_the_template(tmp_path: Path) -> None:
    put(tmp_path / "live" / "a.part", 100)
    apps = [("", settings(tmp_path, record_keep_s=1.0, record_path="{app}/{name}"))]
    assert deleted(tmp_path, apps) == []


def test_an_application_has_its_own_rule(tmp_path: Path) -> None:
    put(tmp_path / "news" / "a.flv", 5)
    put(tmp_path / "live" / "a.flv", 5)
    keep = settings(tmp_path)
    assert deleted(tmp_path, [("news", keep), ("", replace(keep, record_keep_s=1.0))]) == [("live/a.flv", "age")]
    assert (tmp_path / "news" / "a.flv").exists()


def test_a_file_that_cannot_be_deleted_is_an_error_and_the_others_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = put(tmp_path / "live" / "a.flv", 3)
    put(tmp_path / "live" / "b.flv", 2)
    unlink = os.unlink

    def refused(path: str) -> None:
        if path == str(held):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        unlink(path)

    monkeypatch.setattr(retention.os, "unlink", refused)
    error, gone = sweep([("", settings(tmp_path, record_keep_s=1.0))], NOW)
    assert isinstance(error, PermissionError) and error.filename == str(held)
    assert isinstance(gone, Deleted) and gone.path.endswith("b.flv") and gone.age_s == 2 * DAY_S


TEMPLATES = [
    "{app}/{name}-{time:%Y%m%d-%H%M%S}.flv",
    "{time:%Y/%m/%d}/{app}_{name}_{segment:03d}.flv",
    "{name}.{session}.mp4",
    "{app}+{name}",
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("number", [0, 7])
def test_the_pattern_of_a_template_fits_what_it_makes(template: str, number: int) -> None:
    made = with_suffix(render(template, Name("li.ve+", "../a b", "s_1", NOW, 3)), number)
    for app in ("", "li.ve+"):
        assert re.fullmatch(pattern(template, app, False), made)
        assert not re.fullmatch(pattern(template, app, False), "x/" + made + ".bak/y")
    if "{app}" in template:
        assert not re.fullmatch(pattern(template, "other", False), made)
