"""Recordings as MP4: files that are whole however they end."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from rtmpd.output import mp4_file
from rtmpd.output.mp4_file import Mp4File, Recovered, recover
from rtmpd.output.recording import Completed, Opened, Stopped
from rtmpd.protocol.constants import AUDIO, VIDEO
from rtmpd.protocol.message import Message
from tests.output.test_recording import begin, frame, gop, recording
from tests.support.client import AAC_HEADER, AVC_HEADER, audio, interframe, keyframe
from tests.support.mp4 import fragments, walk
from tests.support.proof import proves

OTHER_AVC_HEADER = AVC_HEADER[:-1] + b"\xca"


def kinds(path: Path) -> list[str]:
    return [box.kind for box in walk(path.read_bytes())]


def samples(path: Path) -> list[int]:
    """How many samples each track of a finished file has."""
    moov = list(walk(path.read_bytes()))[-1]
    return [int.from_bytes(one.body[8:12], "big") for one in moov.all("trak/mdia/minf/stbl/stsz")]


def seconds(count: int) -> list[Message]:
    """Media of ``count`` seconds, with the headers."""
    messages = [Message(VIDEO, AVC_HEADER, 0), Message(AUDIO, AAC_HEADER, 0)]
    for at_ms in range(0, 1000 * count, 40):
        messages.append(Message(VIDEO, keyframe(500) if at_ms % 1000 == 0 else interframe(90), at_ms))
        messages.append(Message(AUDIO, audio(30), at_ms))
    return messages


def killed(path: Path, count: int = 3, cut: int | None = None) -> bytes:
    """What a crash leaves of a file, cut off somewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = Mp4File(str(path), True, 1000, True, True)
    file.write(seconds(count))
    part = path.with_name(path.name + ".part")
    data = part.read_bytes()[:cut]
    file._file.close()
    part.write_bytes(data)
    return data


def test_a_recording_becomes_an_ordinary_mp4(tmp_path: Path) -> None:
    one = recording(tmp_path, record_format="mp4", record_path="{name}.flv")
    facts = one.write(begin(5000) + gop(5000) + gop(6000)) + one.close()
    path = tmp_path / "a.mp4"
    assert facts == [Opened(str(path)), Completed(str(path), path.stat().st_size, 1, 2000)]
    assert kinds(path) == ["ftyp", "mdat", "moov"] and samples(path) == [50, 50]


@pytest.mark.parametrize(("record", "tracks"), [("audio", [50]), ("video", [50]), ("keyframes", [2])])
def test_only_what_is_wanted_is_recorded(tmp_path: Path, record: str, tracks: list[int]) -> None:
    one = recording(tmp_path, record=record, record_format="mp4", record_path="a.mp4")
    one.write(begin() + gop(0) + gop(1000))
    one.close()
    assert samples(tmp_path / "a.mp4") == tracks


@proves("apps.record_fragment")
@pytest.mark.parametrize(("fragment_s", "count"), [(0.2, 11), (1.0, 3), (5.0, 3)])
def test_a_fragment_is_on_the_disk_after_its_time_and_before_each_keyframe(
    tmp_path: Path, fragment_s: float, count: int
) -> None:
    one = recording(tmp_path, record_format="mp4", record_fragment_s=fragment_s)
    one.write(begin() + gop(0) + gop(1000) + gop(2000) + gop(3000, 1))
    found = fragments((tmp_path / "a_1.mp4.part").read_bytes())
    assert len(found) >= count and (fragment_s < 1 or len(found) <= count + 3)
    one.close()


def test_a_playlist_grows_with_the_file_and_is_over_with_it(tmp_path: Path) -> None:
    one = recording(tmp_path, record_format="mp4", record_path="a b.mp4")
    playlist = tmp_path / "a b.m3u8"
    one.write(begin() + gop(0) + gop(1000))
    assert not playlist.exists()
    one.write(gop(2000) + gop(3000) + gop(4000) + gop(5000, 2))
    grown = playlist.read_text()
    assert grown.count("#EXTINF:2.00000") == 2 and "EVENT" in grown and "a%20b.mp4.part" in grown
    one.write(gop(5080, 60) + gop(7480, 25) + gop(8480, 25))
    longer = playlist.read_text()
    assert longer.count("#EXTM3U") == 1 and longer.count("#EXTINF") == 3 and "TARGETDURATION:4" in longer
    one.close()
    over = playlist.read_text().splitlines()
    assert over[-1] == "#EXT-X-ENDLIST" and over[-2] == "a%20b.mp4" and "#EXT-X-PLAYLIST-TYPE:VOD" in over
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a b.m3u8", "a b.mp4"]


def test_another_codec_begins_another_file(tmp_path: Path) -> None:
    one = recording(tmp_path, record_format="mp4", record_path="a.mp4")
    change = frame(VIDEO, OTHER_AVC_HEADER, 1000)
    facts = one.write([*begin(), *gop(0), change, *gop(1000), frame(VIDEO, OTHER_AVC_HEADER, 2000), *gop(2000)])
    facts += one.close()
    completed = [fact for fact in facts if isinstance(fact, Completed)]
    assert [(Path(fact.path).name, fact.is_last) for fact in completed] == [("a.mp4", False), ("a-1.mp4", True)]
    assert [samples(tmp_path / name) for name in ("a.mp4", "a-1.mp4")] == [[25, 25], [50, 50]]
    assert OTHER_AVC_HEADER[5:] in (tmp_path / "a-1.mp4").read_bytes()


def test_segments_begin_at_keyframes(tmp_path: Path) -> None:
    one = recording(tmp_path, record_format="mp4", segment_duration_s=1.5)
    one.write(begin() + gop(0) + gop(1000) + gop(2000) + gop(3000))
    one.close()
    assert [samples(tmp_path / f"a_{number}.mp4") for number in (1, 2)] == [[50, 50], [50, 50]]


def test_what_mp4_does_not_carry_ends_the_recording_with_the_name_of_the_codec(tmp_path: Path) -> None:
    one = recording(tmp_path, record_format="mp4")
    mp3 = [frame(AUDIO, b"\x2f" + bytes(40), at_ms) for at_ms in range(0, 200, 20)]
    *_, stopped = one.write([*begin(), *gop(0), *mp3])
    assert isinstance(stopped, Stopped) and stopped.reason == "codec_unsupported" and "MP3" in stopped.message


def test_a_full_disk_leaves_a_file_that_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = recording(tmp_path, record_format="mp4")
    one.write(begin() + gop(0) + gop(1000))
    writes = {"left": 100}

    def full(fd: int, data: bytes, offset: int) -> int:
        if writes["left"] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        writes["left"] -= 100
        return os.pwritev(fd, [data[:100]], offset)

    monkeypatch.setattr(mp4_file.os, "pwrite", full)
    (completed,) = one.close()
    assert isinstance(completed, Completed)
    boxes = kinds(tmp_path / "a_1.mp4")
    assert boxes[:3] == ["ftyp", "free", "moov"] and set(boxes[3:]) == {"moof", "mdat"}
    assert completed.size == (tmp_path / "a_1.mp4").stat().st_size


def test_a_file_without_media_is_not_kept(tmp_path: Path) -> None:
    one = recording(tmp_path, record_format="mp4", record="audio")
    *_, stopped = [*one.write([frame(AUDIO, audio(), 0)]), *one.close()]
    assert isinstance(stopped, Stopped) and stopped.reason == "no_media" and not list(tmp_path.iterdir())


def test_the_next_start_finishes_what_a_crash_left_wherever_it_was_cut(tmp_path: Path) -> None:
    data = killed(tmp_path / "all.mp4", 6)
    (tmp_path / "all.mp4.part").unlink()
    whole = fragments(data)
    choose = random.Random(2)
    for number in range(50):
        cut = choose.randrange(whole[0].offset + whole[0].size, len(data))
        path = tmp_path / "deep" / f"{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.with_name(path.name + ".part").write_bytes(data[:cut])
        (recovered,) = recover(str(tmp_path))
        assert isinstance(recovered, Recovered) and recovered.path == str(path)
        left = [one for one in whole if one.offset + one.size <= cut]
        assert samples(path) == [sum(len(one.tracks.get(track, [])) for one in left) for track in (1, 2)]
        assert list(recover(str(tmp_path))) == []


def test_a_name_that_is_taken_meanwhile_gets_a_number(tmp_path: Path) -> None:
    killed(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_bytes(b"another")
    (recovered,) = recover(str(tmp_path))
    assert isinstance(recovered, Recovered) and recovered.path == str(tmp_path / "a-1.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == b"another"


def test_what_is_being_written_and_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    file = Mp4File(str(tmp_path / "open.mp4"), True, 1000, True, True)
    file.write(seconds(3))
    (tmp_path / "empty.mp4.part").write_bytes(b"")
    (tmp_path / "other.mp4.part").write_bytes(b"something else")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert list(recover(str(tmp_path))) == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    file.close()
    assert samples(tmp_path / "open.mp4") == [75, 75]


def test_a_file_that_cannot_be_finished_is_an_error_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(tmp_path / "a.mp4")

    def refused(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error", str(tmp_path / "a.mp4.part"))

    monkeypatch.setattr(mp4_file.os, "rename", refused)
    (error,) = recover(str(tmp_path))
    assert isinstance(error, OSError) and error.filename == str(tmp_path / "a.mp4.part")
