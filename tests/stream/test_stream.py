"""A stream: what late joiners get, what becomes of data and of time, and any schedule of all of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpd.protocol.constants import DATA_AMF0, DATA_AMF3
from rtmpd.protocol.message import Message
from rtmpd.stream.stream import Stream
from tests.support.proof import proves
from tests.support.streams import (
    AAC_HEADER,
    AVC_HEADER,
    CUE,
    METADATA,
    SET_METADATA,
    FakePublisher,
    Player,
    Rig,
    add,
    audio,
    inter,
    key,
    send,
)

# --- late joiners -----------------------------------------------------------------------------------------


def begun(rig: Rig) -> Stream:
    stream = rig.publish()
    for number, body in enumerate((SET_METADATA, AVC_HEADER, AAC_HEADER, key(b"1"), audio(b"2"), inter(b"3"))):
        send(stream, body, number * 10)
    return stream


def test_a_late_joiner_begins_with_headers_and_the_keyframe_and_goes_on_live() -> None:
    rig = Rig()
    stream = begun(rig)
    _, player = rig.join()
    send(stream, inter(b"4"), 60)
    assert player.bodies == [METADATA, AVC_HEADER, AAC_HEADER, key(b"1"), audio(b"2"), inter(b"3"), inter(b"4")]
    assert player.times == [0, 30, 30, 30, 40, 50, 60]


@pytest.mark.parametrize("policy", ["immediate", "audio-waits", "window"])
@pytest.mark.parametrize("slow", [False, True])
def test_frames_that_wait_are_neither_missed_nor_repeated_by_a_joiner(policy: str, slow: bool) -> None:
    rig = Rig(flush=policy, flush_window_ms=60_000, audio_wait_ms=60_000)
    stream = rig.publish()
    _, early = rig.join()
    for number, body in enumerate((AVC_HEADER, key(b"1"), inter(b"2"))):
        add(stream, body, number)
    _, late = rig.join(11 if slow else None)
    for number, body in enumerate((audio(b"3"), inter(b"4")), 3):
        add(stream, body, number)
    stream.flush()
    late.outlet.take(None)
    assert early.bodies == late.bodies == [AVC_HEADER, key(b"1"), inter(b"2"), audio(b"3"), inter(b"4")]


def test_sound_waits_for_no_picture_where_the_video_has_ended() -> None:
    rig = Rig(flush="audio-waits", audio_wait_ms=60_000)
    stream, player = rig.publish(), rig.join()[1]
    send(stream, key(), 0)
    send(stream, audio(b"waits"), 20)
    assert player.bodies == [key()]
    for at in range(1000, 4000, 1000):
        send(stream, audio(), at)
    send(stream, audio(b"at once"), 4000)
    assert player.bodies[-1] == audio(b"at once")
    stream.close()


@proves("apps.gop_cache")
def test_without_a_gop_cache_a_joiner_hears_at_once_and_sees_from_the_keyframe_on() -> None:
    rig = Rig(gop_cache=False)
    stream = begun(rig)
    _, player = rig.join()
    for body in (inter(b"4"), audio(b"5"), key(b"6"), inter(b"7")):
        send(stream, body, 60)
    assert player.bodies == [METADATA, AVC_HEADER, AAC_HEADER, audio(b"5"), key(b"6"), inter(b"7")]


def test_a_joiner_of_audio_alone_begins_at_once() -> None:
    rig = Rig()
    stream = rig.publish()
    send(stream, AAC_HEADER, 0)
    send(stream, audio(b"1"), 500)
    _, player = rig.join()
    send(stream, audio(b"2"), 520)
    assert player.bodies == [AAC_HEADER, audio(b"2")] and player.times == [500, 520]


def test_the_headers_of_the_last_publisher_are_not_given_to_players_of_the_next() -> None:
    rig = Rig(publisher_grace_s=0.0)
    stream = begun(rig)
    rig.join()
    stream.stop_publish(rig.publisher, clean=True)
    _, waiting = rig.join()
    rig.publish()
    _, later = rig.join()
    assert waiting.bodies == later.bodies == []


# --- data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        Message(DATA_AMF0, SET_METADATA, 0, 1),
        Message(DATA_AMF0, METADATA, 0, 1),
        Message(DATA_AMF3, b"\0" + SET_METADATA, 0, 1),
        Message(DATA_AMF3, METADATA, 0, 1),
    ],
)
def test_metadata_reaches_players_unwrapped_as_amf0_and_late_joiners_too(message: Message) -> None:
    rig = Rig()
    stream = rig.publish()
    _, early = rig.join()
    stream.publish(message)
    stream.idle()
    _, late = rig.join()
    for player in (early, late):
        assert [(each.type_id, each.payload) for each in player.outlet.messages()] == [(DATA_AMF0, METADATA)]


def test_cleared_metadata_is_not_given_to_late_joiners() -> None:
    rig = Rig()
    stream, early = rig.publish(), rig.join()[1]
    send(stream, SET_METADATA, 0)
    send(stream, b"\x02\x00\x0f@clearDataFrame\x02\x00\x0aonMetaData", 1)
    assert early.bodies == [METADATA] and rig.join()[1].bodies == []


def test_other_data_reaches_those_who_are_there() -> None:
    rig = Rig()
    stream, early = rig.publish(), rig.join()[1]
    send(stream, CUE, 5)
    assert early.bodies == [CUE] and rig.join()[1].bodies == []


def test_metadata_is_sent_at_time_0_whenever_it_comes() -> None:
    """ffmpeg takes onMetaData of any other time for a track of subtitles."""
    rig = Rig()
    stream, early = rig.publish(), rig.join()[1]
    send(stream, key(), 70_000)
    send(stream, SET_METADATA, 70_040)
    send(stream, CUE, 70_080)
    stream.pause(early.subscriber)
    stream.rejoin(early.subscriber, wait_for_keyframe=False)
    assert [(m.payload, m.timestamp) for m in early.outlet.messages()] == [
        (key(), 70_000), (METADATA, 0), (CUE, 70_080), (METADATA, 0),
    ]  # fmt: skip


# --- time -------------------------------------------------------------------------------------------------


def returned(rig: Rig, stream: Stream, away_s: float) -> None:
    stream.stop_publish(rig.publisher, clean=False)
    rig.clock.advance(away_s)
    rig.publish(publisher=FakePublisher("c000002"))
    stream.idle()


@pytest.mark.parametrize("before, again", [(1000, 0), (1000, 5_000_000), (0xFFFFFFF0, 0), (5, 0xFFFFFFF0)])
def test_the_time_of_a_publisher_that_returns_goes_on_where_it_was(before: int, again: int) -> None:
    rig = Rig(publisher_grace_s=60.0)
    stream, player = rig.publish(), rig.join()[1]
    send(stream, key(), before)
    returned(rig, stream, 2.0)
    send(stream, key(), again)
    send(stream, inter(), (again + 20) & 0xFFFFFFFF)
    assert player.times == [before, (before + 2000) & 0xFFFFFFFF, (before + 2020) & 0xFFFFFFFF]


def test_headers_that_say_0_do_not_settle_the_time_of_a_publisher_that_returns() -> None:
    rig = Rig(publisher_grace_s=60.0)
    stream, player = rig.publish(), rig.join()[1]
    send(stream, key(), 1000)
    send(stream, SET_METADATA, 0)
    returned(rig, stream, 1.0)
    for body, timestamp in ((SET_METADATA, 0), (AVC_HEADER, 0), (AAC_HEADER, 0), (key(), 700_000), (inter(), 700_020)):
        send(stream, body, timestamp)
    assert player.times[2:] == [0, 2000, 2000, 2000, 2020]


def test_a_publisher_that_returns_at_once_leaves_a_gap_of_a_frame() -> None:
    rig = Rig(publish_conflict="replace")
    stream, player = rig.publish(), rig.join()[1]
    send(stream, key(), 1000)
    rig.publish(publisher=FakePublisher("c000002"))
    send(stream, key(), 0)
    assert player.times == [1000, 1040]


def test_the_time_goes_on_for_a_player_that_had_nothing_but_the_cache() -> None:
    rig = Rig(publisher_grace_s=60.0)
    stream = rig.publish()
    send(stream, key(), 1000)
    rig.clock.advance(1.0)
    _, player = rig.join()
    returned(rig, stream, 1.0)
    send(stream, key(), 0)
    assert player.times == [1000, 3000]


def test_a_publisher_that_had_sent_nothing_moves_nothing() -> None:
    rig = Rig(publisher_grace_s=60.0)
    stream, player = rig.publish(), rig.join()[1]
    stream.idle()
    returned(rig, stream, 3.0)
    send(stream, key(), 70)
    assert player.times == [70]


def test_a_new_publisher_begins_with_its_own_time() -> None:
    rig = Rig()
    stream, player = rig.publish(), rig.join()[1]
    send(stream, key(), 1000)
    stream.stop_publish(rig.publisher, clean=True)
    rig.publish()
    send(stream, key(), 3)
    assert player.times == [1000, 3] and player.watcher.told == ["unpublished", "published"]


def test_a_new_publisher_inherits_no_shift_of_the_last() -> None:
    rig = Rig(publisher_grace_s=60.0)
    stream, player = rig.publish(), rig.join()[1]
    send(stream, key(), 1000)
    returned(rig, stream, 1.0)
    send(stream, key(), 0)
    assert stream.publisher is not None
    stream.stop_publish(stream.publisher, clean=True)
    rig.publish()
    send(stream, key(), 3)
    assert player.times == [1000, 2000, 3]


# --- any schedule -----------------------------------------------------------------------------------------

_STEPS = st.one_of(
    st.just(("key",)),
    st.sampled_from([("inter",), ("inter",), ("inter",), ("audio",), ("idle",)]),
    st.sampled_from([("join", None), ("join", 0), ("join", 100)]),
    st.tuples(st.just("leave"), st.integers(0, 3)),
    st.tuples(st.just("take"), st.integers(0, 3), st.sampled_from([None, 0, 1, 30, 200, 1000])),
)


class Schedule:
    """Carries steps out; every picture and sound has its number as its timestamp and in its body."""

    def __init__(self, policy: str, gop_cache: bool) -> None:
        self.rig = Rig(flush=policy, flush_window_ms=60_000, audio_wait_ms=60_000, gop_cache=gop_cache)
        self.stream = self.rig.publish()
        self.number = 0
        self.present: list[tuple[Player, int]] = []
        self.gone: list[tuple[Player, int, int]] = []
        self.published: dict[int, bytes] = {}
        send(self.stream, AVC_HEADER, 0)

    def step(self, step: tuple[object, ...]) -> None:
        match step:
            case ("key" | "inter" | "audio" as kind,):
                self.number += 1
                body = {"key": key, "inter": inter, "audio": audio}[kind](b"%06d" % self.number * 8)
                self.published[self.number] = body
                add(self.stream, body, self.number)
            case ("idle",):
                self.stream.idle()
            case ("join", room):
                assert room is None or isinstance(room, int)
                _, player = self.rig.join(room, backlog_bytes=400)
                self.present.append((player, self.number))
            case ("leave", int(index)) if index < len(self.present):
                player, since = self.present.pop(index)
                self.stream.detach(player.subscriber)
                self.gone.append((player, since, self.number))
            case ("take", int(index), room) if index < len(self.present):
                assert room is None or isinstance(room, int)
                self.present[index][0].outlet.take(room)

    def finish(self) -> None:
        self.stream.flush()
        for player, _ in self.present:
            player.outlet.take(None)


def assert_sound(schedule: Schedule, player: Player, last: int | None, gop_cache: bool) -> None:
    """Headers first, then frames as published, in order, with gaps only where frames were counted as
    dropped, and a keyframe behind each gap."""
    bodies, numbers = player.bodies, player.times
    assert bodies[:1] in ([AVC_HEADER], [])
    media = list(zip(bodies[1:], numbers[1:], strict=True))
    while media and media[0][0].startswith(b"\xaf"):
        media.pop(0)  # sound goes ahead of the first picture
    assert all(schedule.published[number] == body for body, number in media)
    gaps = 0
    if media:
        assert media[0][0].startswith(b"\x17\x01"), "playback begins at a keyframe"
    for (_, before), (body, number) in pairwise(media):
        assert number > before
        if number != before + 1:
            gaps += number - before - 1
            assert body.startswith(b"\x17\x01"), "a gap ends at a keyframe"
    assert player.subscriber.frames_dropped >= gaps if gop_cache else True
    if last is not None and media and gop_cache and joined_with_pictures(schedule, player):
        assert player.subscriber.frames_dropped == gaps + last - media[-1][1] + skipped(schedule, media[0][1], player)


def joined_with_pictures(schedule: Schedule, player: Player) -> bool:
    since = next(since for each, since in schedule.present if each is player)
    return any(number <= since and body.startswith(b"\x17\x01") for number, body in schedule.published.items())


def skipped(schedule: Schedule, first: int, player: Player) -> int:
    """What was dropped before the first picture: of the GOP it joined with, and what followed."""
    since = next(since for each, since in schedule.present if each is player)
    keys = [number for number, body in schedule.published.items() if body.startswith(b"\x17\x01")]
    joined_at = max((number for number in keys if number <= since), default=since + 1)
    return first - joined_at


@settings(max_examples=300)
@given(
    st.lists(_STEPS, min_size=5, max_size=80),
    st.sampled_from(["immediate", "audio-waits", "window"]),
    st.booleans(),
)
def test_under_any_schedule_every_player_gets_a_sound_stream(
    steps: list[tuple[object, ...]], policy: str, gop_cache: bool
) -> None:
    schedule = Schedule(policy, gop_cache)
    for step in steps:
        schedule.step(step)
    schedule.finish()
    for player, _ in schedule.present:
        assert_sound(schedule, player, schedule.number, gop_cache)
        assert player.subscriber.bytes_sent == len(player.outlet.taken)
        assert player.outlet.bytes_sent + player.subscriber.uncounted_bytes == len(player.outlet.taken)
    for player, _, _ in schedule.gone:
        assert_sound(schedule, player, None, gop_cache)
    schedule.stream.close()
