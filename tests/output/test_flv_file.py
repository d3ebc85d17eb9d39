"""A file that is written is playable at any moment, and tells the truth about itself when it is closed."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from rtmpd.output.flv_file import FlvFile, metadata
from rtmpd.protocol.amf0 import decode_all, encode
from rtmpd.protocol.constants import AUDIO, VIDEO
from rtmpd.protocol.flv import tag
from rtmpd.protocol.message import Message
from tests.support import flv
from tests.support.client import audio, keyframe

PUBLISHED = encode("onMetaData", {"width": 64.0, "duration": 99.0, "encoder": "x", "filesize": 1.0})


def video(at_ms: int, size: int = 100) -> Message:
    return Message(VIDEO, keyframe(size), at_ms)


def script(path: Path) -> Mapping[str, object]:
    first = next(flv.tags(path.read_bytes()))
    name, values = decode_all(first.body)
    assert name == "onMetaData" and isinstance(values, dict)
    return values


def open_file(path: Path, existing: str = "unique", part: bool = True, published: bytes = PUBLISHED) -> FlvFile:
    return FlvFile(str(path), existing, part, published)


def test_duration_size_and_kinds_are_written_at_the_end(tmp_path: Path) -> None:
    file = open_file(tmp_path / "a.flv")
    file.write([video(0), video(40), video(80)])
    file.close()
    path = tmp_path / "a.flv"
    assert script(path) == {"duration": 0.12, "filesize": float(path.stat().st_size), "width": 64.0, "encoder": "x"}
    assert path.read_bytes()[4] == 1, "it has video and no audio"
    assert file.size == path.stat().st_size


def test_the_file_has_another_name_until_it_is_closed(tmp_path: Path) -> None:
    file = open_file(tmp_path / "d" / "a.flv")
    file.write([video(0)])
    assert os.listdir(tmp_path / "d") == ["a.flv.part"]
    assert len(flv.read(tmp_path / "d" / "a.flv.part").video) == 1, "playable before it is closed"
    file.close()
    assert os.listdir(tmp_path / "d") == ["a.flv"]


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    (tmp_path / "a.flv").write_bytes(b"old")
    second, third = open_file(tmp_path / "a.flv"), open_file(tmp_path / "a.flv")
    second.close()
    third.close()
    assert sorted(os.listdir(tmp_path)) == ["a-1.flv", "a-2.flv", "a.flv"]
    assert (tmp_path / "a.flv").read_bytes() == b"old"


@pytest.mark.parametrize("part", [True, False])
def test_replace_overwrites(tmp_path: Path, part: bool) -> None:
    (tmp_path / "a.flv").write_bytes(b"old" * 1000)
    file = open_file(tmp_path / "a.flv", "replace", part)
    file.write([video(0)])
    file.close()
    assert os.listdir(tmp_path) == ["a.flv"]
    assert len(flv.read(tmp_path / "a.flv").video) == 1


@pytest.mark.parametrize("part", [True, False])
def test_replace_leaves_alone_what_is_being_written(tmp_path: Path, part: bool) -> None:
    first, second = (open_file(tmp_path / "a.flv", "replace", part) for _ in range(2))
    first.write([video(0)])
    second.write([video(0), video(40)])
    second.close()
    first.close()
    assert sorted(os.listdir(tmp_path)) == ["a-1.flv", "a.flv"]
    assert len(flv.read(tmp_path / "a.flv").video) == 1 and len(flv.read(tmp_path / "a-1.flv").video) == 2


def killed(path: Path, existing: str, *tags: Message, cut: int = 0) -> None:
    """Write the tags, all but the last ``cut`` bytes of them, and leave the file as a process that is killed does."""
    file = open_file(path, existing)
    file.write([Message(one.type_id, one.payload, file.begins_ms + one.timestamp) for one in tags])
    file._file.truncate(file.size - cut)
    file._file.close()


def test_replace_replaces_what_a_crash_left(tmp_path: Path) -> None:
    killed(tmp_path / "a.flv", "replace", video(0), video(40))
    assert os.listdir(tmp_path) == ["a.flv.part"]
    for _ in range(2):
        file = open_file(tmp_path / "a.flv", "replace")
        file.write([video(0)])
        file.close()
        assert os.listdir(tmp_path) == ["a.flv"] and len(flv.read(tmp_path / "a.flv").video) == 1


def test_unique_keeps_what_a_crash_left(tmp_path: Path) -> None:
    killed(tmp_path / "a.flv", "unique", video(0), video(40))
    open_file(tmp_path / "a.flv").close()
    assert sorted(os.listdir(tmp_path)) == ["a-1.flv", "a.flv.part"]
    assert len(flv.read(tmp_path / "a.flv.part").video) == 2


@pytest.mark.parametrize("cut", [0, 1, 4, 50, 110, 115])
@pytest.mark.parametrize("closed_before", [False, True])
def test_append_goes_on_with_what_a_crash_left(tmp_path: Path, cut: int, closed_before: bool) -> None:
    """Whether that was the first recording, which has another name while it is written, or a later one."""
    path = tmp_path / "a.flv"
    if closed_before:
        open_file(path, "append").close()
    killed(path, "append", video(0), video(40), video(80), cut=cut)
    file = open_file(path, "append")
    file.write([video(file.begins_ms)])
    file.close()
    assert os.listdir(tmp_path) == ["a.flv"]
    begin = 40 if closed_before else 0
    kept = [begin, begin + 40, begin + 80][: None if not cut else -1]
    assert [frame.dts_ms for frame in flv.read(path).video] == [*kept, kept[-1] + 40]
    assert script(path)["filesize"] == float(path.stat().st_size)


def test_append_goes_on_before_the_zeros_of_a_power_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.flv"
    tags = [video(at, 256 * 9 - 16) for at in (0, 40)]
    assert tag(tags[0])[-1] == 0, "the size of a whole tag may end with a zero as well"
    killed(path, "append", *tags)
    with open(f"{path}.part", "ab") as torn:
        torn.write(tag(video(80))[:60] + bytes(100_000))
    file = open_file(path, "append")
    assert file.begins_ms == 80
    file.close()


def test_append_finds_the_last_tag_before_a_large_one_that_was_begun(tmp_path: Path) -> None:
    killed(tmp_path / "a.flv", "append", video(0), video(40, 600_000), cut=100)
    file = open_file(tmp_path / "a.flv", "append")
    assert file.begins_ms == 40
    file.close()


def test_append_goes_on_with_the_file_that_took_the_place_of_one_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "a.flv").write_bytes(b"no FLV")
    for _ in range(3):
        file = open_file(tmp_path / "a.flv", "append")
        file.write([video(file.begins_ms)])
        file.close()
    assert sorted(os.listdir(tmp_path)) == ["a-1.flv", "a.flv"]
    assert len(flv.read(tmp_path / "a-1.flv").video) == 3


def test_append_never_writes_into_a_file_that_is_being_written(tmp_path: Path) -> None:
    open_file(tmp_path / "a.flv", "append").close()
    first, second = (open_file(tmp_path / "a.flv", "append") for _ in range(2))
    assert (first.path, second.path) == (str(tmp_path / "a.flv"), str(tmp_path / "a-1.flv"))
    for file in (first, second):
        file.close()


def test_append_goes_on_behind_the_last_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.flv"
    for _ in range(2):
        file = open_file(path, "append")
        file.write([video(file.begins_ms), Message(AUDIO, audio(), file.begins_ms + 500)])
        file.close()
    assert [frame.dts_ms for frame in flv.read(path).video] == [0, 540]
    assert [frame.dts_ms for frame in flv.read(path).audio] == [500, 1040]
    assert (script(path)["duration"], script(path)["filesize"]) == (1.04, float(path.stat().st_size))
    assert path.read_bytes()[4] == 5


@pytest.mark.parametrize("content", [b"", b"no FLV at all, but long enough to be one", b"FLV" + bytes(60)])
def test_append_leaves_alone_what_it_can_not_continue(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.flv").write_bytes(content)
    file = open_file(tmp_path / "a.flv", "append")
    file.close()
    assert (tmp_path / "a.flv").read_bytes() == content and (tmp_path / "a-1.flv").exists()


@pytest.mark.parametrize("published", [b"", b"\x02", encode("onMetaData"), encode("onMetaData", 3.0), encode("x", {})])
def test_metadata_that_can_not_be_used_is_as_none(published: bytes) -> None:
    assert decode_all(metadata(published)) == ["onMetaData", {"duration": 0.0, "filesize": 0.0}]


def test_tags_that_fit_stay_and_one_that_does_not_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = open_file(tmp_path / "a.flv")
    file.write([video(0)])
    limit = file.size + 2 * len(tag(video(0))) + 50

    class Full:
        """The file on a disk that has room for two tags and a half."""

        def __init__(self, real: object) -> None:
            self.real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def write(self, data: memoryview) -> int:
            room = limit - self.real.tell()  # type: ignore[attr-defined]
            if room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return int(self.real.write(data[:room]))  # type: ignore[attr-defined]

    real = file._file
    monkeypatch.setattr(file, "_file", Full(real))
    with pytest.raises(OSError, match="No space"):
        file.write([video(40), video(80), video(120)])
    file.close()
    assert [frame.dts_ms for frame in flv.read(tmp_path / "a.flv").video] == [0, 40, 80]
    assert script(tmp_path / "a.flv")["duration"] == 0.12
    assert script(tmp_path / "a.flv")["filesize"] == float((tmp_path / "a.flv").stat().st_size)
