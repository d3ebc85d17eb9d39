"""One player: its backlog, what is dropped of it and what never is, and its counters."""

from __future__ import annotations

import socket

import pytest

from rtmpd.clock import FakeClock
from rtmpd.net.transport import Transport
from rtmpd.net.writer import Writer
from rtmpd.protocol.chunk import encode
from rtmpd.protocol.message import Message
from rtmpd.stream.frame import FRAME_BYTES
from rtmpd.stream.stream import Stream
from rtmpd.stream.subscriber import Subscriber
from tests.support.streams import (
    AAC_HEADER,
    AVC_HEADER,
    CUE,
    METADATA,
    FakePublisher,
    FakeWatcher,
    Player,
    Rig,
    audio,
    inter,
    key,
    send,
)


def test_a_backlog_keeps_the_order_with_what_comes_while_it_drains() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join(0)
    for number in range(50):
        send(stream, key(bytes([number])) if not number % 10 else inter(bytes([number])), number)
        if number % 7 == 6:
            player.outlet.take(40)
    player.outlet.take(None)
    send(stream, inter(b"last"), 50)
    assert player.times == list(range(51))
    assert player.subscriber.frames_dropped == 0


def gops(stream: object, count: int, size: int, start: int = 0) -> None:
    """GOPs of a keyframe, an audio frame and three more pictures, 20 ms apart."""
    for gop in range(start, start + count):
        at = gop * 100
        send(stream, key(bytes(size)), at)  # type: ignore[arg-type]
        for number, body in enumerate((audio(), inter(bytes(size)), inter(bytes(size)), inter(bytes(size))), 1):
            send(stream, body, at + number * 20)  # type: ignore[arg-type]


def test_over_its_bytes_everything_up_to_the_newest_keyframe_goes() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join(0, backlog_bytes=1000 + 10 * FRAME_BYTES)
    gops(stream, 10, 100)
    player.outlet.take(None)
    times = player.times
    assert times[0] == 0, "the frame that was offered first is kept by the writer"
    after = times[1]
    assert after % 100 == 0 and after >= 700, "playback resumes at a keyframe"
    assert times[1:] == list(range(after, 1000, 20)), "and with everything from there on"
    assert player.subscriber.frames_dropped == 50 - len(times)


def test_a_gop_over_the_limit_is_dropped_until_the_next_keyframe() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join(0, backlog_bytes=1000)
    send(stream, key(), 0)
    for number in range(1, 30):
        send(stream, inter(bytes(100)), number)
    player.outlet.take(None)
    dropped_until = len(player.times)
    send(stream, inter(b"in vain"), 30)
    send(stream, audio(b"in vain"), 30)
    assert len(player.times) == dropped_until
    send(stream, key(b"again"), 40)
    send(stream, inter(), 41)
    assert player.times[-2:] == [40, 41]
    assert player.subscriber.frames_dropped == 34 - len(player.times)
    assert player.subscriber.frames_dropped >= 15


def fallen_behind(rig: Rig, stream: Stream, player: Player, sound_from: int) -> None:
    """The player misses sound, and takes what comes from now on."""
    player.outlet.room = 0
    for number in range(30):
        send(stream, audio(bytes(100)), sound_from + number * 20)
    assert player.subscriber.frames_dropped
    player.outlet.take(None)


def test_a_player_of_sound_alone_goes_on_after_a_gap() -> None:
    rig = Rig()
    stream = rig.publish()
    send(stream, AAC_HEADER, 0)
    _, player = rig.join(backlog_bytes=1000)
    fallen_behind(rig, stream, player, 0)
    dropped, before = player.subscriber.frames_dropped, len(player.times)
    for number in range(3):
        send(stream, audio(b"on"), 1000 + number * 20)
    assert player.times[before:] == [1000, 1020, 1040]
    assert player.subscriber.frames_dropped == dropped
    assert player.outlet.sends[-1].endswith(audio(b"on")) and not player.subscriber.misses_frames


def test_a_player_that_wants_no_video_goes_on_with_the_sound_at_once() -> None:
    rig = Rig()
    stream = rig.publish()
    send(stream, key(), 0)
    _, player = rig.join(backlog_bytes=1000)
    player.subscriber.wants &= ~2
    stream.rejoin(player.subscriber, wait_for_keyframe=False)
    fallen_behind(rig, stream, player, 20)
    send(stream, audio(b"on"), 1000)
    assert player.bodies[-1] == audio(b"on") and not player.subscriber.misses_frames


def test_a_joiner_that_misses_sound_before_its_first_picture_hears_what_follows() -> None:
    rig = Rig(gop_cache=False)
    stream = rig.publish()
    send(stream, key(), 0)
    _, player = rig.join(backlog_bytes=1000)
    fallen_behind(rig, stream, player, 20)
    send(stream, audio(b"on"), 1000)
    send(stream, inter(b"cannot be decoded"), 1010)
    assert player.bodies[-1] == audio(b"on")
    send(stream, key(b"seen"), 1020)
    player.outlet.room = 0
    for number in range(20):
        send(stream, inter(bytes(100)), 1040 + number * 20)
    player.outlet.take(None)
    send(stream, audio(b"belongs to a picture that is missing"), 2000)
    assert player.bodies[-1] != audio(b"belongs to a picture that is missing")


def test_a_player_that_waits_for_a_keyframe_still_does_after_its_wishes_have_changed() -> None:
    rig = Rig()
    stream = rig.publish()
    send(stream, key(), 0)
    _, player = rig.join(backlog_bytes=1000)
    player.outlet.room = 0
    for number in range(1, 20):
        send(stream, inter(bytes(100)), number * 20)
    player.outlet.take(None)
    assert not player.subscriber.backlog_frames and player.subscriber.misses_frames
    player.subscriber.wants &= ~1
    stream.rejoin(player.subscriber, wait_for_keyframe=False)
    send(stream, inter(b"cannot be decoded"), 500)
    send(stream, key(b"again"), 520)
    assert player.bodies[-1] == key(b"again") and inter(b"cannot be decoded") not in player.bodies


def test_a_player_goes_on_with_the_sound_where_the_video_has_ended() -> None:
    rig = Rig()
    stream = rig.publish()
    for number, body in enumerate((AVC_HEADER, AAC_HEADER, key(), inter())):
        send(stream, body, number * 40)
    _, player = rig.join(backlog_bytes=1000)
    fallen_behind(rig, stream, player, 200)
    send(stream, audio(b"in vain"), 1000)
    assert audio(b"in vain") not in player.bodies, "a picture may still come"
    for at in range(2000, 5000, 500):
        send(stream, audio(b"on"), at)
    dropped = player.subscriber.frames_dropped
    send(stream, audio(b"heard"), 5000)
    assert player.bodies[-1] == audio(b"heard")
    send(stream, inter(b"cannot be decoded"), 5010)
    send(stream, key(b"again"), 5020)
    send(stream, inter(b"seen"), 5040)
    assert player.bodies[-2:] == [key(b"again"), inter(b"seen")]
    assert player.subscriber.frames_dropped == dropped + 1


def test_a_player_whose_video_does_not_come_back_with_the_publisher_hears_it() -> None:
    rig = Rig(publisher_grace_s=60.0)
    stream = rig.publish()
    send(stream, key(), 0)
    _, player = rig.join(backlog_bytes=1000)
    fallen_behind(rig, stream, player, 20)
    stream.stop_publish(rig.publisher, clean=False)  # type: ignore[arg-type]
    rig.publish(publisher=FakePublisher("c000002"))
    send(stream, audio(b"alone"), 0)
    assert player.bodies[-1] == audio(b"alone")


def test_a_gap_ends_at_the_first_message_of_a_keyframe_that_has_several() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join(0, backlog_bytes=1000 + 10 * FRAME_BYTES)
    for number in range(12):
        send(stream, key(bytes(50)) if not number % 4 else inter(bytes(90)), number * 40)
    for number in range(3):
        send(stream, key(b"slice %d" % number), 480)
    for number in range(7):
        send(stream, inter(bytes(100)), 520 + number * 40)
    assert player.subscriber.frames_dropped
    player.outlet.take(None)
    assert player.bodies[1:4] == [key(b"slice 0"), key(b"slice 1"), key(b"slice 2")]


def test_over_its_time_a_backlog_is_cut_too() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join(0, backlog_ms=300)
    gops(stream, 20, 1)
    player.outlet.take(None)
    assert player.times[1] >= 1500 and player.times[1] % 100 == 0
    assert player.subscriber.frames_dropped == 100 - len(player.times)


@pytest.mark.parametrize("stray_at", [0, 1 << 31])
def test_a_header_or_data_with_a_stray_timestamp_is_no_measure_of_a_backlog(stray_at: int) -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join(backlog_ms=1000)
    send(stream, key(), 500_000)
    player.outlet.room = 0
    send(stream, inter(), 500_020)
    for number in range(10):
        send(stream, (CUE, METADATA, AAC_HEADER)[number % 3], stray_at)
        send(stream, inter() if number != 4 else key(), 500_040 + number * 20)
    assert player.subscriber.frames_dropped == 0
    player.outlet.take(None)
    assert len(player.times) == 22


def test_metadata_and_headers_are_never_dropped() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join(0, backlog_bytes=1500)
    for number in range(40):
        for body in (AVC_HEADER, AAC_HEADER, METADATA) if number == 15 else ():
            send(stream, body, number)
        send(stream, key(bytes(200)) if number % 10 == 0 else inter(bytes(200)), number)
    player.outlet.take(None)
    assert player.subscriber.frames_dropped > 10
    assert [body for body in player.bodies if body in (AVC_HEADER, AAC_HEADER, METADATA)] == [
        AVC_HEADER, AAC_HEADER, METADATA,
    ]  # fmt: skip


def test_a_player_whose_backlog_can_not_be_cut_is_given_up() -> None:
    rig = Rig()
    stream = rig.publish()
    (_, player), (_, other) = rig.join(0, backlog_bytes=1000), rig.join()
    for number in range(60):
        send(stream, CUE + bytes(100), number)
    assert [code for code, _ in player.outlet.failures][:1] == ["backlog_full"]
    assert len(other.times) == 60
    assert player.subscriber.backlog_frames < 30


def test_the_burst_of_a_late_joiner_does_not_count_as_a_backlog() -> None:
    rig = Rig()
    stream = rig.publish()
    send(stream, key(bytes(100_000)), 0)
    for number in range(1, 5):
        rig.clock.advance(5.0)
        send(stream, inter(bytes(100_000)), number * 5000)
    _, player = rig.join(0, backlog_bytes=1000, backlog_ms=1000)
    assert player.subscriber.backlog_frames, "the connection does not take all of it"
    rig.clock.advance(5.0)
    send(stream, inter(bytes(500)), 25_000)
    assert player.subscriber.frames_dropped == 0
    player.outlet.take(None)
    assert player.times == [0, 5000, 10_000, 15_000, 20_000, 25_000]


def test_the_counters_are_exact() -> None:
    rig = Rig()
    stream = rig.publish()
    (_, fast), (_, slow) = rig.join(), rig.join(33)
    total = 0
    for number in range(30):
        body = key(bytes(number)) if number % 6 == 0 else inter(bytes(number))
        total += len(encode(7, Message(9, body, number, 1), 128))
        send(stream, body, number)
        if number % 4 == 0:
            slow.outlet.take(50)
        assert fast.subscriber.bytes_sent == total == len(fast.outlet.taken)
        assert fast.outlet.bytes_sent + fast.subscriber.uncounted_bytes == total
        assert slow.outlet.bytes_sent + slow.subscriber.uncounted_bytes == len(slow.outlet.taken)
        assert slow.subscriber.bytes_sent == len(slow.outlet.taken) + len(slow.outlet.queue)
    slow.outlet.take(None)
    assert slow.subscriber.bytes_sent == total == len(slow.outlet.taken)
    for player in (fast, slow):
        stream.detach(player.subscriber)
        assert player.subscriber.bytes_sent == player.outlet.bytes_sent == total
        assert player.subscriber.uncounted_bytes == 0


def test_replies_on_the_same_connection_hold_media_back_and_keep_their_place() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join()
    send(stream, key(), 0)
    player.outlet.room = 3
    player.outlet.write(encode(3, Message(20, b"a reply", 0, 0), 128))
    send(stream, inter(), 20)
    player.outlet.take(None)
    send(stream, inter(), 40)
    assert [(message.type_id, message.timestamp) for message in player.outlet.messages()] == [
        (9, 0), (20, 0), (9, 20), (9, 40),
    ]  # fmt: skip
    assert player.subscriber.bytes_sent == len(player.outlet.taken) - len(encode(3, Message(20, b"a reply", 0, 0), 128))


@pytest.mark.parametrize("while_behind", [False, True])
def test_nothing_is_sent_past_other_bytes_that_wait_though_the_socket_would_take_it(while_behind: bool) -> None:
    """So it is with TLS: what waits is encrypted already, and the socket has room."""
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join(backlog_bytes=2000)
    send(stream, key(), 0)
    if while_behind:
        player.outlet.room = 0
        send(stream, inter(), 1)
        player.outlet.room = None
    reply = encode(3, Message(20, b"a reply", 0, 0), 128)
    player.outlet.push(reply)
    offered = len(player.outlet.sends)
    for number in range(2, 6):
        send(stream, inter(b"%d" % number), number)
    assert len(player.outlet.sends) == offered and player.subscriber.backlog_frames >= 4
    for number in range(6, 40):
        send(stream, inter(bytes(100)), number)
    assert player.subscriber.frames_dropped and player.subscriber.backlog_frames < 12, "the bounds hold"
    player.outlet.take(None)
    bodies = player.bodies
    assert bodies.index(b"a reply") == (2 if while_behind else 1) and len(set(bodies)) == len(bodies)


def test_a_player_that_leaves_is_sent_nothing_but_the_frame_that_was_begun() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join(5)
    for number in range(5):
        send(stream, key(), number)
    stream.detach(player.subscriber)
    player.outlet.take(None)
    send(stream, key(), 9)
    assert player.times == [0]


@pytest.mark.parametrize("slow", [False, True])
def test_leaving_video_out_leaves_a_player_with_audio_and_data(slow: bool) -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join()
    send(stream, key(), 0)
    if slow:
        player.outlet.room = 0
    player.subscriber.wants &= ~2
    stream.rejoin(player.subscriber, wait_for_keyframe=False)
    for number in range(1, 4):
        send(stream, inter(), number)
        send(stream, audio(), number)
    player.outlet.take(None)
    assert [message.type_id for message in player.outlet.messages()] == [9, 8, 8, 8]


def test_a_slow_player_that_leaves_audio_out_goes_on_at_a_keyframe() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join()
    send(stream, AVC_HEADER, 0)
    send(stream, key(), 0)
    player.outlet.room = 0
    for number in range(1, 6):
        send(stream, inter(), number)
    player.subscriber.wants &= ~1
    stream.rejoin(player.subscriber, wait_for_keyframe=False)
    player.outlet.take(None)
    send(stream, inter(b"of pictures that are missing"), 6)
    send(stream, key(b"again"), 7)
    assert player.bodies == [AVC_HEADER, key(), inter(), AVC_HEADER, key(b"again")]


def test_a_player_that_keeps_up_and_leaves_audio_out_misses_no_picture() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join()
    send(stream, key(), 0)
    player.subscriber.wants &= ~1
    stream.rejoin(player.subscriber, wait_for_keyframe=False)
    send(stream, inter(), 1)
    send(stream, audio(), 2)
    assert player.bodies == [key(), inter()]


def test_a_paused_player_gets_nothing_and_goes_on_at_a_keyframe_with_headers() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join()
    for number, body in enumerate((AVC_HEADER, key(b"1"), inter(b"2"))):
        send(stream, body, number)
    stream.pause(player.subscriber)
    send(stream, inter(b"3"), 3)
    stream.rejoin(player.subscriber, wait_for_keyframe=True)
    for number, body in enumerate((inter(b"4"), audio(b"5"), key(b"6"), inter(b"7")), 4):
        send(stream, body, number)
    assert player.bodies == [AVC_HEADER, key(b"1"), inter(b"2"), AVC_HEADER, audio(b"5"), key(b"6"), inter(b"7")]


def test_a_notice_comes_behind_the_media_that_waits() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join(5)
    for number in range(3):
        send(stream, key(), number)
    player.subscriber.notify(Message(20, b"the end", 0, 1))
    player.outlet.take(None)
    player.subscriber.notify(Message(20, b"really", 0, 1))
    assert player.bodies == [key(), key(), key(), b"the end", b"really"]


def test_what_a_late_joiner_is_sent_first_leaves_together_with_the_answer_to_its_play() -> None:
    stream = Rig().publish()
    send(stream, AVC_HEADER, 0)
    send(stream, key(b"cached"), 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # keeps what was sent apart
    writer = Writer(Transport(ours), FakeClock(), 1 << 20, lambda code, text: None)
    with ours, theirs:
        theirs.setblocking(False)
        writer.corked = True  # as while one read is acted upon
        writer.write(b"answer")
        stream.attach(Subscriber(writer, FakeWatcher(), 128, 1, 1 << 20, 10_000))
        first = theirs.recv(65536)
        assert first.startswith(b"answer") and b"cached" in first
        with pytest.raises(BlockingIOError):
            theirs.recv(65536)
        send(stream, inter(b"next"), 33)
        assert b"next" in theirs.recv(65536)


def test_a_late_joiner_whose_socket_is_full_already_gets_everything_in_order_when_it_takes_again() -> None:
    rig = Rig()
    stream = rig.publish()
    send(stream, key(b"cached"), 0)
    player = Player(0, 1 << 20, 10_000, 1, 128)
    player.outlet.write(encode(3, Message(20, b"answer", 0, 0), 128))
    stream.attach(player.subscriber)
    send(stream, inter(b"next"), 33)
    player.outlet.take(None)
    assert player.bodies[0] == b"answer"
    assert player.times == [0, 0, 33]
