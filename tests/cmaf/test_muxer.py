"""The rules of the muxer: when it begins, what time samples have, and where something else begins."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpd.cmaf.muxer import AUDIO_TRACK_ID, KEYFRAME_WAIT_MS, VIDEO_TRACK_ID, Fragment, Muxer
from rtmpd.errors import MediaError
from rtmpd.protocol.constants import AUDIO, VIDEO
from rtmpd.protocol.message import Message
from tests.cmaf.muxing import joined, mux
from tests.support.client import AAC_HEADER, AVC_HEADER, audio, interframe, keyframe
from tests.support.mp4 import Sample, fragments, walk

OTHER_AVC_HEADER = AVC_HEADER[:-1] + b"\xca"
MONO_HEADER = bytes.fromhex("af001208")
FRAME_TICKS, SOUND_TICKS = 3600, 1024


def video(at_ms: int, is_key: bool = False, composition_ms: int = 0, size: int = 40) -> Message:
    payload = keyframe(size) if is_key else interframe(size)
    return Message(VIDEO, payload[:2] + composition_ms.to_bytes(3, "big", signed=True) + payload[5:], at_ms % 2**32)


def sound(at_ms: int, size: int = 10) -> Message:
    return Message(AUDIO, audio(size), at_ms % 2**32)


HEADERS = [Message(VIDEO, AVC_HEADER, 0), Message(AUDIO, AAC_HEADER, 0)]


def gops(begin_ms: int, count: int = 1, frames: int = 5) -> list[Message]:
    """Pictures 40 ms apart, each with a sound at the same time."""
    return [
        message
        for number in range(count * frames)
        for at_ms in [begin_ms + 40 * number]
        for message in (video(at_ms, number % frames == 0), sound(at_ms))
    ]


def samples(found: list[Fragment], track_id: int) -> list[Sample]:
    return [one for fragment in fragments(joined(found)) for one in fragment.tracks.get(track_id, [])]


def times(found: list[Fragment], track_id: int) -> list[int]:
    return [sample.dts for sample in samples(found, track_id)]


def test_it_begins_with_the_first_keyframe_and_drops_what_is_before() -> None:
    found = mux([*HEADERS, sound(960), video(960), sound(980), *gops(1000)])
    assert times(found, VIDEO_TRACK_ID) == [number * FRAME_TICKS for number in range(5)]
    assert len(times(found, AUDIO_TRACK_ID)) == 5 and found[0].keyframe and not found[0].discontinuity


def test_sound_that_comes_late_but_is_of_before_the_first_picture_is_dropped() -> None:
    found = mux([*HEADERS, video(1000, True), sound(960), sound(985), *gops(1040)])
    assert times(found, AUDIO_TRACK_ID)[0] == 40 * 44100 // 1000


def test_without_any_keyframe_it_begins_in_the_end() -> None:
    found = mux([*HEADERS, *(video(at_ms) for at_ms in range(0, KEYFRAME_WAIT_MS + 400, 40))])
    assert len(samples(found, VIDEO_TRACK_ID)) == 10 and not found[0].keyframe


def test_it_waits_a_second_for_the_other_kind() -> None:
    muxer = Muxer()
    for message in [HEADERS[0], *(video(at_ms, at_ms == 0) for at_ms in range(0, 1000, 40))]:
        muxer.feed(message.type_id, message.timestamp, message.payload)
        assert muxer.init is None and not muxer.cut()
    muxer.feed(VIDEO, 1000, interframe())
    assert muxer.init is not None and (muxer.init.codecs, muxer.init.has_audio) == ("avc1.64000a", False)
    assert (muxer.init.width, muxer.init.height) == (64, 64)


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_stream_of_one_kind_has_one_track(kind: str) -> None:
    wanted = AUDIO if kind == "audio" else VIDEO
    messages = [message for message in HEADERS + gops(0, 10) if message.type_id == wanted]
    found = mux(messages)
    assert found[0].init.codecs == {"audio": "mp4a.40.2", "video": "avc1.64000a"}[kind]
    assert len(samples(found, AUDIO_TRACK_ID if kind == "audio" else VIDEO_TRACK_ID)) == 50
    assert b"cmfc" in found[0].init.file_type and all(fragment.keyframe for fragment in found)


def test_a_kind_that_is_not_wanted_is_left_out() -> None:
    found = mux(HEADERS + gops(0), muxer=Muxer(with_video=False))
    assert [box.kind for box in walk(joined(found))][:2] == ["ftyp", "moov"]
    assert found[0].init.codecs == "mp4a.40.2" and len(samples(found, AUDIO_TRACK_ID)) == 5


def test_empty_frames_make_no_samples() -> None:
    empty = Message(VIDEO, b"\x27\x01\x00\x00\x00", 60)
    found = mux([*HEADERS, *gops(0), empty, Message(AUDIO, b"\xaf\x01", 60), video(200)])
    assert len(samples(found, VIDEO_TRACK_ID)) == 6


def test_payloads_are_not_copied() -> None:
    messages = HEADERS + gops(0)
    (fragment,) = mux(messages)
    payloads = {id(message.payload) for message in messages}
    bodies = [piece for piece in fragment.pieces if isinstance(piece, memoryview)]
    assert len(bodies) == 10 and all(id(body.obj) in payloads for body in bodies)


def test_sound_counts_its_samples() -> None:
    found = mux([HEADERS[1], *(sound(number * 1024 * 1000 // 44100) for number in range(100))])
    assert times(found, AUDIO_TRACK_ID) == [number * SOUND_TICKS for number in range(100)]


def test_sound_that_strays_is_placed_anew() -> None:
    muxer = Muxer(with_video=False)
    mux([HEADERS[1], *(sound(23 * number) for number in range(10)), sound(500), sound(523)], muxer=muxer)
    assert muxer.reanchored == 1


def test_pictures_that_are_reordered_begin_at_their_keyframe() -> None:
    order = [(0, True, 80), (40, False, 160), (80, False, 40), (120, False, 0), (160, True, 80)]
    found = mux([HEADERS[0], HEADERS[1], *(video(*one) for one in order), sound(160)], part_ms=10_000)
    first = samples(found, VIDEO_TRACK_ID)
    assert [one.composition for one in first] == [0, 7200, -3600, -7200, 0]
    assert first[0].dts == 7200, "sound and picture keep their distance"
    assert [fragment.keyframe for fragment in found] == [True, True]


def test_a_time_that_goes_back_stands() -> None:
    found = mux([*HEADERS, video(0, True), video(400), video(200), video(440), sound(440)])
    assert times(found, VIDEO_TRACK_ID) == [0, 36000, 36001, 39600]
    assert samples(found, VIDEO_TRACK_ID)[2].composition == 18000 - 36001, (
        "the picture is shown when it was meant to be"
    )


@pytest.mark.parametrize("jump_ms", [-500_000, 5_000, 90_000_000])
def test_what_comes_after_a_jump_follows_what_there_was(jump_ms: int) -> None:
    found = mux([*HEADERS, *gops(600_000, 2), *gops(600_400 + jump_ms, 2)])
    assert [fragment.discontinuity for fragment in found].count(True) == 1
    assert len({id(fragment.init) for fragment in found}) == 1
    assert times(found, VIDEO_TRACK_ID) == [number * FRAME_TICKS for number in range(20)]
    steps = times(found, AUDIO_TRACK_ID)
    assert len(steps) == 20 and steps[-1] < 44100


def test_a_straggler_after_a_jump_is_not_another_one() -> None:
    found = mux([*HEADERS, *gops(0, 2), video(9000, True), sound(400), sound(9000), video(9040), sound(9040)])
    assert [fragment.discontinuity for fragment in found].count(True) == 1


def test_frames_that_come_slowly_are_no_jumps() -> None:
    found = mux([HEADERS[0], *(video(2000 * number, True) for number in range(6))])
    assert not any(fragment.discontinuity for fragment in found)
    assert times(found, VIDEO_TRACK_ID) == [180_000 * number for number in range(6)]


def test_time_goes_on_over_the_end_of_32_bits() -> None:
    found = mux([*HEADERS, *gops(2**32 - 200, 2)])
    assert times(found, VIDEO_TRACK_ID) == [number * FRAME_TICKS for number in range(10)]
    assert not any(fragment.discontinuity for fragment in found)


@pytest.mark.parametrize("again", [Message(VIDEO, AVC_HEADER, 200), Message(AUDIO, AAC_HEADER, 200)])
def test_the_same_header_again_changes_nothing(again: Message) -> None:
    found = mux([*HEADERS, *gops(0), again, *gops(200)])
    assert not any(fragment.discontinuity for fragment in found) and len(samples(found, VIDEO_TRACK_ID)) == 10


def test_another_header_applies_from_the_next_keyframe_on() -> None:
    found = mux([*HEADERS, *gops(0), Message(VIDEO, OTHER_AVC_HEADER, 200), video(200), *gops(240)])
    assert [fragment.discontinuity for fragment in found] == [False, True]
    assert found[0].init is not found[1].init and OTHER_AVC_HEADER[5:] in found[1].init.movie
    assert found[1].keyframe and found[1].start_ticks == 240 * 90
    assert len(samples(found, VIDEO_TRACK_ID)) == 10, "the picture before the keyframe fits neither"


def test_a_track_that_comes_late_begins_at_the_next_keyframe() -> None:
    pictures = [message for message in gops(0, 8) if message.type_id == VIDEO]
    found = mux([HEADERS[0], *pictures, HEADERS[1], sound(1590), *gops(1600, 2)])
    assert [fragment.init.codecs for fragment in found if fragment.discontinuity] == ["avc1.64000a,mp4a.40.2"]
    assert len(samples(found, AUDIO_TRACK_ID)) == 10


def test_another_codec_of_sound_alone_begins_at_once() -> None:
    sounds = [sound(20 * number) for number in range(60)]
    mono = [sound(1200 + 20 * number) for number in range(10)]
    found = mux([HEADERS[1], *sounds, Message(AUDIO, MONO_HEADER, 1200), *mono])
    assert [fragment.discontinuity for fragment in found].count(True) == 1
    assert len(samples(found, AUDIO_TRACK_ID)) == 70


@pytest.mark.parametrize(
    ("message", "codec"),
    [
        (Message(AUDIO, b"\x2f" + bytes(20), 0), "MP3"),
        (Message(AUDIO, b"\x7f" + bytes(20), 0), "G711A"),
        (Message(VIDEO, b"\x12" + bytes(20), 0), "SORENSON"),
        (Message(VIDEO, b"\x90vp08" + bytes(20), 0), "VP8"),
        (Message(VIDEO, b"\x90vvc1" + bytes(20), 0), "VVC"),
        (Message(VIDEO, b"\x91xyz1" + bytes(20), 0), "xyz1"),
    ],
)
def test_what_mp4_does_not_carry_is_refused_by_name(message: Message, codec: str) -> None:
    with pytest.raises(MediaError, match=codec) as refused:
        mux([message])
    assert refused.value.code == "codec_unsupported"


def test_what_cannot_be_read_is_counted_and_left_out() -> None:
    muxer = Muxer()
    broken = [Message(VIDEO, b"", 0), Message(VIDEO, b"\x17\x00\x00\x00\x00\x01", 0), Message(AUDIO, b"\x9f", 0)]
    found = mux([*HEADERS, *gops(0), *broken, *gops(200)], muxer=muxer)
    assert muxer.skipped == 3 and len(samples(found, VIDEO_TRACK_ID)) == 10


def test_nothing_is_gathered_without_bound_where_time_stands_still() -> None:
    muxer = Muxer()
    payload = interframe(1024 * 1024)
    found: list[Fragment] = []
    for message in [*HEADERS, video(0, True), sound(0), *(Message(VIDEO, payload, 0) for _ in range(40))]:
        found += muxer.feed(message.type_id, message.timestamp, message.payload)
    assert len(found) == 2 and all(fragment.size < 20 * 1024 * 1024 for fragment in found)


STEPS = st.tuples(
    st.sampled_from(["key", "inter", "inter", "sound", "sound", "avc", "other_avc", "aac", "mono"]),
    st.one_of(st.integers(0, 60), st.integers(-2000, 6000)),
    st.integers(-100, 100),
)


@settings(max_examples=200, deadline=None)
@given(start=st.integers(0, 2**32 - 1), steps=st.lists(STEPS, max_size=60))
def test_whatever_comes_the_boxes_are_valid_and_no_sample_overlaps(
    start: int, steps: list[tuple[str, int, int]]
) -> None:
    headers = {"avc": AVC_HEADER, "other_avc": OTHER_AVC_HEADER, "aac": AAC_HEADER, "mono": MONO_HEADER}
    messages, at_ms = list(HEADERS), start
    for what, step_ms, composition_ms in steps:
        at_ms += step_ms
        if what in headers:
            messages.append(Message(VIDEO if "avc" in what else AUDIO, headers[what], at_ms % 2**32))
        else:
            messages.append(sound(at_ms) if what == "sound" else video(at_ms, what == "key", composition_ms))
    found = mux(messages)
    if not found:
        return
    read = fragments(joined(found))
    assert [one.sequence for one in read] == list(range(1, len(found) + 1))
    assert [one.size for one in read] == [fragment.size for fragment in found]
    scales = {VIDEO_TRACK_ID: 90_000, AUDIO_TRACK_ID: 44_100}
    ends: dict[int, int] = {}
    for ours, theirs in zip(found, read, strict=True):
        lead = VIDEO_TRACK_ID if VIDEO_TRACK_ID in theirs.tracks else AUDIO_TRACK_ID
        assert ours.timescale == scales[lead]
        assert ours.start_ticks == theirs.tracks[lead][0].dts
        assert ours.duration_ticks == sum(one.duration for one in theirs.tracks[lead])
        for track_id, run in theirs.tracks.items():
            assert run[0].dts >= ends.get(track_id, 0)
            if not ours.discontinuity and track_id in ends and ours.init is found[0].init:
                assert run[0].dts == ends[track_id] or any(fragment.discontinuity for fragment in found)
            ends[track_id] = run[-1].dts + run[-1].duration


def test_a_codec_that_replaces_another_before_anything_began_leaves_nothing_behind() -> None:
    muxer = Muxer()
    muxer.feed(AUDIO, 0, b"\x91ec-3" + bytes.fromhex("0b7700ff3f8000000000000000000000") + bytes(22))
    muxer.feed(AUDIO, 60, b"\x91ac-3" + bytes.fromhex("fff8ff080000"))
    assert list(muxer.finish()) == []
