"""The time of a stream goes on, whatever the publisher's clocks do."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.protocol.constants import DATA_AMF0
from rtmpd.protocol.message import Message
from tests.support.streams import AAC_HEADER, AVC_HEADER, CUE, FakePublisher, Rig, audio, inter, key, send

HOUR = 3_600_000
DAY = 24 * HOUR
CLOCK = 1 << 32


class Sent:
    """A stream with one player that keeps up; ``send`` sends at the publisher's time and gives the player's."""

    def __init__(self) -> None:
        self.rig = Rig(publisher_grace_s=60.0)
        self.stream = self.rig.publish()
        self.player = self.rig.join()[1]

    def send(self, payload: bytes, at: int) -> int:
        send(self.stream, payload, at % CLOCK)
        return self.player.times[-1]

    def media(self, begin: int, count: int = 10) -> list[tuple[int, int]]:
        """Pictures 40 ms apart, each with a sound 7 ms later; their times at the player."""
        return [(self.send(inter(), begin + 40 * i), self.send(audio(), begin + 40 * i + 7)) for i in range(count)]

    @property
    def jumps(self) -> list[tuple[str, int]]:
        return self.rig.publisher.jumps


@pytest.mark.parametrize("by", [-HOUR, -DAY, -1000, -300, 5000, HOUR, DAY, 20 * DAY, 1 << 24, -(1 << 24)])
def test_a_jump_becomes_the_spacing_of_the_last_frame_and_sound_and_picture_stay_together(by: int) -> None:
    sent = Sent()
    assert sent.media(10 * DAY)[-1] == (10 * DAY + 360, 10 * DAY + 367)
    after = sent.media(10 * DAY + 400 + by)
    assert after[0] == (10 * DAY + 367 + 40, 10 * DAY + 367 + 47), "one spacing after the latest of the stream"
    assert [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(after)] == [(40, 40)] * 9
    assert sent.jumps == [("video", by + 40)]


@pytest.mark.parametrize("spacing", [1, 20, 2500])
def test_the_spacing_is_that_of_the_frame_before(spacing: int) -> None:
    sent = Sent()
    assert [sent.send(inter(), at) for at in (HOUR, HOUR + 40, HOUR + 40 + spacing, 7)][-1] == HOUR + 40 + 2 * spacing


def test_a_publisher_that_nobody_waits_for_begins_with_its_own_time() -> None:
    rig = Rig(publish_conflict="replace")
    stream = rig.publish()
    send(stream, key(), HOUR)
    rig.publish(publisher=FakePublisher("c000002"))
    send(stream, key(), 7)
    assert rig.join()[1].times == [7]


def test_a_jump_is_reported_once_for_each_publish() -> None:
    sent = Sent()
    for begin in (HOUR, 0, 2 * DAY, 7):
        sent.media(begin)
    assert len(sent.jumps) == 1 and sent.jumps[0] == ("video", -HOUR - 360)
    again = FakePublisher("c000002")
    sent.stream.stop_publish(sent.rig.publisher, clean=False)  # type: ignore[arg-type]
    sent.rig.publish(publisher=again)
    sent.media(0)
    assert again.jumps == [], "its clock is another one, and has not jumped"
    sent.media(DAY)
    assert len(again.jumps) == 1


@pytest.mark.parametrize("bits", [31, 32])
def test_the_end_of_a_clock_is_no_jump(bits: int) -> None:
    sent = Sent()
    end = 1 << bits
    before = sent.media(end - 400)
    assert sent.media(0) == [((end + 40 * i) % CLOCK, (end + 40 * i + 7) % CLOCK) for i in range(10)]
    assert before[-1] == (end - 40, end - 33) and not sent.jumps


def test_sound_and_picture_may_pass_the_end_of_31_bits_at_different_moments() -> None:
    sent = Sent()
    half = 1 << 31
    assert sent.send(inter(), half - 40) == half - 40
    assert sent.send(audio(), half - 30) == half - 30
    assert sent.send(inter(), 0) == half
    assert sent.send(audio(), half - 10) == half - 10
    assert sent.send(audio(), 11) == half + 11
    assert sent.send(inter(), 40) == half + 40
    assert not sent.jumps


def test_a_track_that_jumps_later_follows_the_one_that_has_jumped() -> None:
    sent = Sent()
    sent.media(HOUR)
    video = [sent.send(inter(), 40 * i) for i in range(50)]
    assert video == [HOUR + 407 + 40 * i for i in range(50)]
    assert sent.send(audio(), HOUR + 400) == HOUR + 400, "it still has its old clock"
    assert sent.send(audio(), 1970) == video[0] + 1970, "the clock of the picture"
    assert sent.send(audio(), 1990) == video[0] + 1990


def test_a_track_that_is_moved_away_and_back_is_with_the_other_again() -> None:
    sent = Sent()
    sent.media(0)
    assert sent.send(inter(), DAY) == 407
    assert sent.send(inter(), 440) == 440
    assert sent.send(audio(), 447) == 447


def test_a_track_that_follows_may_stand_for_a_moment_but_not_go_back() -> None:
    sent = Sent()
    sent.media(HOUR)
    assert sent.send(audio(), HOUR + 1200) == HOUR + 1200
    assert sent.send(inter(), 0) == HOUR + 1240
    assert sent.send(audio(), -900) == HOUR + 1200, "by the clock of the picture it would be before the last"
    assert sent.send(audio(), 20) == HOUR + 1260


def test_clocks_that_have_nothing_in_common_each_go_on() -> None:
    sent = Sent()
    assert [sent.send(inter(), DAY), sent.send(inter(), DAY + 40)] == [DAY, DAY + 40]
    assert sent.send(audio(), 0) == DAY + 40, "the second track begins now"
    assert sent.jumps == [("audio", -DAY - 40)]
    assert sent.send(inter(), DAY + 80) == DAY + 80
    assert [sent.send(audio(), at) for at in (23, 46)] == [DAY + 63, DAY + 86]


def test_a_second_track_may_be_late_by_seconds() -> None:
    sent = Sent()
    for i in range(100):
        sent.send(inter(), i * 80)
    assert [sent.send(audio(), 0), sent.send(audio(), 23)] == [0, 23]
    assert not sent.jumps


def test_frames_out_of_order_move_nothing() -> None:
    """As from encoders that send the time of presentation."""
    sent = Sent()
    times = [sent.send(inter(), at) for at in (0, 120, 40, 80, 240, 160, 200, 360)]
    assert times == [0, 120, 120, 120, 240, 240, 240, 360] and not sent.jumps


def test_a_clock_that_runs_backward_does_not_stop_the_time() -> None:
    sent = Sent()
    times = [sent.send(inter(), HOUR - 100 * i) for i in range(30)]
    assert times == sorted(times) and times[-1] > times[0] + 300


def test_frames_of_one_time_stay_so() -> None:
    sent = Sent()
    assert [sent.send(inter(), at) for at in (0, 40, 40, 40, 80, HOUR)] == [0, 40, 40, 40, 80, 120]


@pytest.mark.parametrize("away_s", [4.0, 600.0])
def test_a_pause_is_no_jump(away_s: float) -> None:
    sent = Sent()
    sent.media(0)
    sent.rig.clock.advance(away_s)
    assert sent.media(int(away_s * 1000) + 400)[0] == (int(away_s * 1000) + 400, int(away_s * 1000) + 407)
    assert not sent.jumps
    sent.rig.clock.advance(10.0)
    assert sent.send(inter(), int(away_s * 1000) + 20_000) == int(away_s * 1000) + 807, "10 s are no 19 s"


def test_a_picture_may_come_back_after_a_while_of_sound_alone() -> None:
    sent = Sent()
    sent.media(0)
    for at in range(400, 60_000, 1000):
        sent.send(audio(), at)
    assert sent.send(key(), 59_900) == 59_900 and not sent.jumps


def test_media_that_has_come_late_may_catch_up() -> None:
    sent = Sent()
    sent.media(0)
    for i in range(20):
        sent.rig.clock.advance(0.5)
        sent.media(400 + 100 * i, 2)
    assert sent.send(inter(), 10_300) == 10_300 and not sent.jumps, "10 s have passed, and 2.4 s of media"


def test_headers_and_data_of_another_time_are_of_now() -> None:
    sent = Sent()
    assert [sent.send(AVC_HEADER, 7), sent.send(AAC_HEADER, 0)] == [7, 0]
    sent.media(HOUR)
    assert [sent.send(body, 0) for body in (AVC_HEADER, AAC_HEADER, CUE, b"\x17\x02\0\0\0")] == [HOUR + 367] * 4
    assert sent.send(CUE, HOUR + 500) == HOUR + 500
    sent.media(0)
    assert sent.send(CUE, 400) == HOUR + 407 + 400, "by the new clock"
    assert sent.jumps == [("video", -HOUR - 360)]


def test_the_cache_has_the_time_of_the_stream() -> None:
    sent = Sent()
    send(sent.stream, AVC_HEADER, 0)
    sent.media(HOUR)
    send(sent.stream, key(), 5)
    send(sent.stream, inter(), 45)
    assert sent.rig.join()[1].times == [HOUR + 407, HOUR + 407, HOUR + 447]


def test_composition_times_are_left_alone() -> None:
    sent = Sent()
    payload = b"\x27\x01\0\0\x50" + b"picture"
    sent.send(inter(), HOUR)
    sent.send(payload, 0)
    assert sent.player.bodies[-1] == payload


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.one_of(st.integers(0, 200), st.integers(-300, 4000), st.integers(-CLOCK, CLOCK)),
            st.sampled_from([0.0, 0.0, 0.0, 0.1, 5.0]),
        ),
        max_size=60,
    ),
    st.integers(0, CLOCK - 1),
)
def test_whatever_comes_no_track_goes_back_or_ahead_by_more_than_time_allows(
    steps: list[tuple[bool, int, float]], begin: int
) -> None:
    rig = Rig()
    stream, player = rig.publish(), rig.join()[1]
    clocks = {True: begin, False: begin}
    passed_ms, allowed = 0.0, []
    for is_video, step, passed_s in steps:
        rig.clock.advance(passed_s)
        passed_ms += passed_s * 1000
        clocks[is_video] = (clocks[is_video] + step) % CLOCK
        send(stream, inter() if is_video else audio(), clocks[is_video])
        allowed.append(passed_ms)
    latest: int | None = None
    tracks: dict[int, int] = {}
    for message in player.outlet.messages():
        at = message.timestamp
        if message.type_id in tracks:
            assert (at - tracks[message.type_id]) % CLOCK < CLOCK // 2, "a track goes back"
        if latest is None or (at - latest) % CLOCK < CLOCK // 2:
            ahead = 0 if latest is None else (at - latest) % CLOCK
            assert ahead <= 10_000 + passed_ms + 30_000
            latest = at
        tracks[message.type_id] = at


def test_data_alone_moves_nothing() -> None:
    rig = Rig()
    stream, player = rig.publish(), rig.join()[1]
    for at in (0, DAY, 5):
        stream.publish(Message(DATA_AMF0, CUE, at, 1))
        stream.idle()
    assert player.times == [0, DAY, 5]


def test_a_publisher_that_is_back_begins_a_time_of_its_own_for_each_track() -> None:
    sent = Sent()
    sent.media(HOUR)
    sent.stream.stop_publish(sent.rig.publisher, clean=False)  # type: ignore[arg-type]
    sent.rig.clock.advance(2.0)
    sent.rig.publish(publisher=FakePublisher("c000002"))
    assert sent.media(0)[:2] == [(HOUR + 2367, HOUR + 2374), (HOUR + 2407, HOUR + 2414)]


