"""Frames become files: what is in them, where they are cut, and what ends them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtmpd.clock import FakeClock
from rtmpd.codec.classify import DATA, HEADER, KEYFRAME, classify
from rtmpd.output.path import Name
from rtmpd.output.recording import Completed, Opened, Recording, Stopped
from rtmpd.protocol.amf0 import decode_all, encode
from rtmpd.protocol.constants import AUDIO, DATA_AMF0, VIDEO
from rtmpd.settings.output import OutputSettings
from rtmpd.stream.frame import Frame
from tests.support import flv
from tests.support.client import AAC_HEADER, AVC_HEADER, audio, interframe, keyframe
from tests.support.mp4 import walk
from tests.support.proof import proves

METADATA = Frame(DATA_AMF0, encode("onMetaData", {"width": 64.0}), 0, DATA | HEADER)


def frame(type_id: int, payload: bytes, at_ms: int) -> Frame:
    return Frame(type_id, payload, at_ms % 2**32, classify(type_id, payload))


def begin(at_ms: int = 0) -> list[Frame]:
    return [METADATA, frame(VIDEO, AVC_HEADER, at_ms), frame(AUDIO, AAC_HEADER, at_ms)]


def gop(at_ms: int, frames: int = 25) -> list[Frame]:
    """A second: 25 pictures, of which the first is a keyframe, each with a sound 7 ms behind it."""
    found = []
    for i in range(frames):
        picture = interframe(40, b"%d" % (i % 10)) if i else keyframe(200)
        found.append(frame(VIDEO, picture, at_ms + 40 * i))
        found.append(frame(AUDIO, audio(10, b"%d" % (i % 10)), at_ms + 40 * i + 7))
    return found


def digest(payload: bytes, kind: int) -> str:
    """Of a frame, as the reader has it."""
    return hashlib.sha256(payload[5:] if kind == VIDEO else payload[2:]).hexdigest()


def recording(home: Path, **options: Any) -> Recording:
    values: dict[str, Any] = {
        "record": "all",
        "record_min_free_bytes": 0,
        "record_path": "{name}_{segment}.flv",
    } | options
    own = replace(OutputSettings(record_dir=str(home)), **values)
    return Recording(own, lambda segment: Name("live", "a", "s", 0.0, segment), FakeClock())


def test_a_file_begins_with_metadata_and_headers_and_at_zero(tmp_path: Path) -> None:
    one = recording(tmp_path)
    assert one.write(begin(5000)) == [], "nothing is opened for headers alone"
    (opened,) = one.write(gop(5000))
    assert opened == Opened(str(tmp_path / "a_1.flv"))
    (completed,) = one.close()
    tags = list(flv.tags((tmp_path / "a_1.flv").read_bytes()))
    assert [tag.body for tag in tags[1:3]] == [AVC_HEADER, AAC_HEADER]
    assert [tag.timestamp_ms for tag in tags[:5]] == [0, 0, 0, 0, 7]
    assert completed == Completed(str(tmp_path / "a_1.flv"), (tmp_path / "a_1.flv").stat().st_size, 1, 1007)
    assert one.write(gop(6000)) == [] and one.close() == []


@pytest.mark.parametrize(
    ("record", "pictures", "sounds"), [("all", 50, 50), ("audio", 0, 50), ("video", 50, 0), ("keyframes", 2, 0)]
)
def test_only_what_is_wanted_is_recorded(tmp_path: Path, record: str, pictures: int, sounds: int) -> None:
    one = recording(tmp_path, record=record)
    one.write(begin() + gop(0) + gop(1000))
    one.close()
    media = flv.read(tmp_path / "a_1.flv")
    assert (len(media.video), len(media.audio)) == (pictures, sounds)
    bodies = [tag.body for tag in flv.tags((tmp_path / "a_1.flv").read_bytes())]
    assert (AVC_HEADER in bodies, AAC_HEADER in bodies) == (bool(pictures), bool(sounds))


def test_segments_begin_at_keyframes_with_the_headers_in_force(tmp_path: Path) -> None:
    one = recording(tmp_path, segment_duration_s=1.5)
    facts = one.write(begin() + gop(0) + gop(1000) + gop(2000) + gop(3000) + gop(4000)) + one.close()
    assert [(fact.number, fact.duration_ms) for fact in facts if isinstance(fact, Completed)] == [
        (1, 2007), (2, 2007), (3, 1007)
    ]  # fmt: skip
    for number in (1, 2, 3):
        tags = list(flv.tags((tmp_path / f"a_{number}.flv").read_bytes()))
        assert [tag.body for tag in tags[1:4]] == [AVC_HEADER, AAC_HEADER, keyframe(200)]
        assert {tag.timestamp_ms for tag in tags[:4]} == {0}


def test_segments_of_sound_end_anywhere(tmp_path: Path) -> None:
    one = recording(tmp_path, segment_duration_s=0.4)
    sounds = [frame(AUDIO, audio(), 20 * i) for i in range(50)]
    facts = one.write([frame(AUDIO, AAC_HEADER, 0), *sounds]) + one.close()
    assert [fact.duration_ms for fact in facts if isinstance(fact, Completed)] == [400, 400, 200]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    start=st.integers(0, 2**32 - 1),
    limits=st.sampled_from([(0.2, 0), (0.0, 700), (0.3, 1500), (0.0, 0)]),
    cut=st.integers(1, 9),
)
def test_segments_together_hold_every_frame_once(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], start: int, limits: tuple[float, int], cut: int
) -> None:
    home = tmp_path_factory.mktemp("recording")
    frames, at_ms = begin(start), start
    for length in lengths:
        frames += gop(at_ms, length)
        at_ms += 40 * length
    one = recording(home, segment_duration_s=limits[0], segment_bytes=limits[1])
    facts = [fact for i in range(0, len(frames), cut) for fact in one.write(frames[i : i + cut])] + one.close()
    files = [fact for fact in facts if isinstance(fact, Completed)]
    assert [fact.number for fact in files] == list(range(1, len(files) + 1))
    media = [flv.read(Path(fact.path)) for fact in files]
    for kind, stream in ((VIDEO, "video"), (AUDIO, "audio")):
        sent = [one.payload for one in frames[3:] if one.type_id == kind]
        kept = [frame.digest for part in media for frame in part.stream(stream)]
        assert kept == [digest(payload, kind) for payload in sent]
    assert all(part.video[0].dts_ms == 0 and part.video[0].key for part in media)
    assert one.size == sum(Path(fact.path).stat().st_size for fact in files)


def test_timestamps_go_on_past_the_end_of_their_32_bits(tmp_path: Path) -> None:
    one = recording(tmp_path)
    one.write(begin(2**32 - 100) + gop(2**32 - 100))
    one.close()
    assert [f.dts_ms for f in flv.read(tmp_path / "a_1.flv").video] == [40 * i for i in range(25)]


def test_new_headers_stand_where_they_came(tmp_path: Path) -> None:
    one = recording(tmp_path)
    other = AVC_HEADER[:-1] + b"\x00"
    one.write([*begin(), *gop(0), frame(VIDEO, other, 1000), *gop(1000)])
    one.close()
    bodies = [tag.body for tag in flv.tags((tmp_path / "a_1.flv").read_bytes())]
    assert bodies.index(other) == len(bodies) - 51


@proves("apps.record_max_size")
# --- a publisher that begins inside a group of pictures ---------------------------------------------------------


def written(home: Path, frames: list[Frame], at_once: bool, **options: Any) -> list[tuple[int, int, bytes]]:
    """Type, time and payload of what is in the file, headers and metadata left out."""
    one = recording(home, **options)
    parts = [frames] if at_once else [[each] for each in frames]
    facts = [fact for part in parts for fact in one.write(part)] + one.close()
    if not any(isinstance(fact, Opened) for fact in facts):
        return []
    tags = list(flv.tags((home / "a_1.flv").read_bytes()))
    return [(tag.kind, tag.timestamp_ms, tag.body) for tag in tags if tag.body not in (AVC_HEADER, AAC_HEADER)][1:]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("skipped", [1, 2, 30, 48])
def test_a_recording_begins_at_the_first_keyframe(tmp_path: Path, skipped: int, at_once: bool) -> None:
    """Whether the first that comes is a sound or a picture."""
    first, second = gop(0)[skipped:], gop(1000)
    found = written(tmp_path, begin() + first + second, at_once)
    assert found == [(f.type_id, f.timestamp - second[0].timestamp, f.payload) for f in second]


@pytest.mark.parametrize("headers", [True, False])
def test_sound_that_is_ahead_of_the_first_keyframe_is_kept(tmp_path: Path, headers: bool) -> None:
    sounds = [frame(AUDIO, audio(10, b"s"), 20 * i) for i in range(5)]
    found = written(tmp_path, (begin() if headers else []) + sounds + gop(100), at_once=True)
    assert [at for _, at, _ in found[:7]] == [0, 20, 40, 60, 80, 100, 107]


def test_a_stream_of_sound_alone_is_recorded_from_its_beginning(tmp_path: Path) -> None:
    sounds = [frame(AUDIO, audio(10, b"s"), 20 * i) for i in range(5)]
    assert len(written(tmp_path, [METADATA, frame(AUDIO, AAC_HEADER, 0), *sounds], at_once=False)) == 5


@pytest.mark.parametrize("seconds", [1, 5])
def test_sound_whose_picture_is_announced_and_does_not_come_is_recorded(tmp_path: Path, seconds: int) -> None:
    sounds = [frame(AUDIO, audio(10, b"s"), 20 * i) for i in range(50 * seconds)]
    found = written(tmp_path, begin() + sounds, at_once=False)
    assert [at for _, at, _ in found] == [20 * i for i in range(50 * seconds)]


def test_much_sound_is_not_held_for_a_picture(tmp_path: Path) -> None:
    one = recording(tmp_path)
    facts = [fact for i in range(30) for fact in one.write([*begin(), frame(AUDIO, audio(50_000), 10 * i)])]
    assert [type(fact) for fact in facts] == [Opened]
    one.close()
    assert len(flv.read(tmp_path / "a_1.flv").audio) == 30


def test_a_picture_that_cannot_be_decoded_is_left_out_of_a_recording_that_began_with_sound(tmp_path: Path) -> None:
    sounds = [frame(AUDIO, audio(10, b"s"), 20 * i) for i in range(150)]
    found = written(tmp_path, begin() + sounds + gop(3000)[30:] + gop(4000), at_once=True)
    pictures = [(at, body) for kind, at, body in found if kind == VIDEO]
    assert pictures[0] == (4000, keyframe(200)) and len(pictures) == 25
    assert len([kind for kind, *_ in found if kind == AUDIO]) == 150 + 10 + 25


def test_pictures_that_never_get_a_keyframe_are_recorded_after_a_while(tmp_path: Path) -> None:
    frames = [f for second in range(25) for f in gop(1000 * second)[1:] if not f.flags & KEYFRAME]
    found = written(tmp_path, begin() + frames, at_once=False)
    assert 0 < len(found) < len(frames) and found[0][1] == 0


def test_sound_goes_on_where_a_picture_neither_gets_a_keyframe_nor_goes_on(tmp_path: Path) -> None:
    sounds = [frame(AUDIO, audio(10, b"s"), 20 * i) for i in range(2000)]
    assert written(tmp_path, [*begin(), *gop(0)[2:4], *sounds], at_once=True)


def test_only_the_picture_is_waited_for_that_is_recorded(tmp_path: Path) -> None:
    found = written(tmp_path, begin() + gop(0)[2:] + gop(1000), at_once=False, record="audio")
    assert len(found) == 49


@proves("apps.segment_size")
def test_a_segment_does_not_begin_inside_a_keyframe_of_several_messages(tmp_path: Path) -> None:
    slices = [frame(VIDEO, keyframe(500, b"%d" % i), 1000) for i in range(3)]
    one = recording(tmp_path, segment_bytes=400)
    one.write(begin() + gop(0) + slices + gop(1040)[1:])
    one.close()
    pictures = [tag.body for tag in flv.tags((tmp_path / "a_2.flv").read_bytes()) if tag.kind == VIDEO]
    assert pictures[1:4] == [f.payload for f in slices]


def test_metadata_in_mid_stream_stands_at_0_and_says_nothing_of_the_file(tmp_path: Path) -> None:
    later = Frame(DATA_AMF0, encode("onMetaData", {"title": "b", "duration": 0.0}), 0, DATA | HEADER)
    cue = Frame(DATA_AMF0, encode("onCuePoint", {"name": "c"}), 500, DATA)
    found = written(tmp_path, begin() + gop(0)[:20] + [later, cue] + gop(400)[20:], at_once=True)
    data = [(at, decode_all(body)) for kind, at, body in found if kind == DATA_AMF0]
    assert data == [(0, ["onMetaData", {"title": "b"}]), (367, ["onCuePoint", {"name": "c"}])]


# --- ends ---------------------------------------------------------------------------------------------------------


def test_the_largest_size_ends_it_with_a_whole_file(tmp_path: Path) -> None:
    one = recording(tmp_path, record_max_bytes=1000)
    facts = one.write(begin() + gop(0))
    assert isinstance(facts[-1], Stopped) and facts[-1].reason == "max_size" and one.stopped
    assert len(flv.read(tmp_path / "a_1.flv").video) == 25
    assert one.write(gop(1000)) == []


@proves("apps.record_min_free")
def test_too_little_free_space_is_a_full_disk(tmp_path: Path) -> None:
    one = recording(tmp_path, record_min_free_bytes=2**60)
    (stopped,) = one.write(begin() + gop(0))
    assert isinstance(stopped, Stopped) and (stopped.reason, stopped.path) == ("disk_full", str(tmp_path / "a_1.flv"))
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (stopped,) = recording(tmp_path / "file", record_path="{name}/x.flv").write(begin() + gop(0))
    assert isinstance(stopped, Stopped) and stopped.reason == "error"


# --- MP4 whose tracks change, and media that cannot be decoded at first ---------------------------------

AC3 = b"\x91ac-3" + bytes.fromhex("0b77000014402f84") + bytes(100)


def silent(at_ms: int) -> list[Frame]:
    """A second of pictures without sound."""
    return [one for one in gop(at_ms) if one.type_id == VIDEO]


def pictures_in(path: Path) -> int:
    """How many samples the first track of a finished MP4 has."""
    movie = next(box for box in walk(path.read_bytes()) if box.kind == "moov")
    return int.from_bytes(movie.all("trak/mdia/minf/stbl/stsz")[0].body[8:12], "big")


def test_sound_without_a_header_that_comes_late_begins_another_mp4(tmp_path: Path) -> None:
    one = recording(tmp_path, record_format="mp4")
    facts = one.write([frame(VIDEO, AVC_HEADER, 0), *silent(0), *silent(1000)])
    for second in range(2, 12):
        sound = [frame(AUDIO, AC3, second * 1000 + 40 * number) for number in range(25)]
        facts += one.write([each for pair in zip(silent(second * 1000), sound, strict=True) for each in pair])
    facts += one.close()
    files = [fact for fact in facts if isinstance(fact, Completed)]
    assert len(files) == 2 and not any(isinstance(fact, Stopped) for fact in facts)
    # Of 300: those up to the next keyframe after the change are left out.
    assert sum(pictures_in(Path(file.path)) for file in files) >= 250


def test_a_picture_that_pauses_for_half_a_day_ends_no_recording(tmp_path: Path) -> None:
    one, pause_ms = recording(tmp_path, record_format="mp4"), 14 * 3_600_000
    facts = one.write([*begin(), *gop(0)])
    for hour in range(14):
        began = 1000 + hour * 3_600_000
        facts += one.write([frame(AUDIO, audio(10), at) for at in range(began, began + 3_600_000, 10_000)])
    facts += one.write(gop(pause_ms + 1000)) + one.write(gop(pause_ms + 2000)) + one.close()
    assert not any(isinstance(fact, Stopped) for fact in facts)
    assert sum(pictures_in(Path(fact.path)) for fact in facts if isinstance(fact, Completed)) == 75


def test_sound_before_its_header_does_not_end_the_recording(tmp_path: Path) -> None:
    one = recording(tmp_path, record_format="mp4")
    early = [frame(AUDIO, audio(10), 23 * number) for number in range(20)]
    good = [frame(AUDIO, audio(10), 460 + 23 * number) for number in range(100)]
    facts = one.write([*early, frame(AUDIO, AAC_HEADER, 460), *good]) + one.close()
    (file,) = (fact for fact in facts if isinstance(fact, Completed))
    assert pictures_in(Path(file.path)) == 100
