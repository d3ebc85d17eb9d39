"""Players that do not keep up: nobody else notices, what waits is bounded, and what is left out is whole GOPs."""

from __future__ import annotations

import struct
from itertools import pairwise

import gevent
import pytest

from rtmpd.protocol import constants
from rtmpd.protocol.control import user_control
from tests.integration.conftest import Start
from tests.support.client import AAC_HEADER, AVC_HEADER, Client, keyframe
from tests.support.house import Running
from tests.support.proof import proves
from tests.support.waiting import wait_until

GOP = 12  # longer than the backlog of the slow ones
PICTURE_BYTES = 20_000


def picture(number: int) -> bytes:
    """The number is in it; every ``GOP``-th is a keyframe."""
    head = b"\x17\x01\x00\x00\x00" if number % GOP == 0 else b"\x27\x01\x00\x00\x00"
    return head + struct.pack(">I", number) + bytes(PICTURE_BYTES)


def numbers(client: Client) -> list[int]:
    """Which pictures a client has received."""
    found = [p for p in client.payloads() if len(p) > PICTURE_BYTES]
    for payload in found:
        assert payload == picture(struct.unpack(">I", payload[5:9])[0])
    return [struct.unpack(">I", payload[5:9])[0] for payload in found]


def starve(house: Running, client: Client) -> None:
    """Have the kernel hold little of what is sent to ``client``."""
    house.connection(client).peer.transport._sock.setsockopt(1, 7, 4096)  # SOL_SOCKET, SO_SNDBUF


@proves("apps.send_timeout")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_player_that_never_reads_costs_the_others_nothing_and_is_dropped(
    start: Start, tls: bool, request: pytest.FixtureRequest
) -> None:
    backlog = 200_000
    # Long enough for readers on a busy machine, which must not be taken for slow ones.
    settings = {"app": {"backlog_bytes": backlog, "send_timeout_s": 2.0, "flush": "immediate"}}
    house = start(**settings, **(request.getfixturevalue("rtmps") if tls else {}))
    publisher = house.client(tls=tls)
    msid = publisher.publish()
    publisher.chunk_size(65536)
    publisher.headers(msid)
    readers = [house.client(tls=tls) for _ in range(20)]
    for reader in readers[:10]:
        reader.play()
    sleeper = house.client(tls=tls, receive_bytes=4096)
    sleeper.play()
    starve(house, sleeper)
    for reader in readers[10:]:
        reader.play()
    connection = house.connection(sleeper)
    subscriber = next(iter(connection.activity.players.values())).subscriber
    conn_id = connection.conn_id
    total = 100
    pulls = [gevent.spawn(reader.read_until, lambda r=reader: len(numbers(r)) == total, "all") for reader in readers]
    held = [0]

    def look() -> None:
        while True:
            held.append(subscriber._backlog_bytes if house.alive(conn_id) else 0)
            gevent.sleep(0.001)

    looking = gevent.spawn(look)
    try:
        for number in range(total):
            publisher.video(msid, picture(number), number * 40)
            gevent.sleep(0)
        gevent.joinall(pulls, raise_error=True, timeout=15)
    finally:
        gevent.killall([looking, *pulls])
    for reader in readers:
        assert numbers(reader) == list(range(total))
    assert max(held) <= backlog + PICTURE_BYTES + 100
    assert max(held) > backlog / 4
    stop = house.wait_event("play_stop", conn_id=conn_id)
    assert stop.data["reason"] == "slow_player"
    assert stop.data["frames_dropped"] > 0
    error = house.wait_event("connection_error")
    assert (error.conn_id, error.data["error_type"], error.data["error_code"]) == (conn_id, "timeout", "send_timeout")
    assert house.wait_event("connection_close", conn_id=conn_id).data["reason"] == "slow_player"
    assert len(house.errors()) == 1


def test_a_player_that_reads_slowly_but_steadily_stays_and_misses_whole_gops_only(start: Start) -> None:
    house = start(app={"backlog_bytes": 8 * PICTURE_BYTES, "send_timeout_s": 2.0, "flush": "immediate"})
    publisher = house.client()
    msid = publisher.publish()
    publisher.chunk_size(65536)
    slow = house.client(receive_bytes=4096)
    slow.play()
    starve(house, slow)
    connection = house.connection(slow)
    subscriber = next(iter(connection.activity.players.values())).subscriber
    publisher.headers(msid)
    read = slow.transport.recv

    def slowly() -> bytes:
        gevent.sleep(0.002)
        return read()

    slow.peer.transport = type("Slow", (), {"recv": staticmethod(slowly)})()  # type: ignore[assignment]
    reader = gevent.spawn(slow.read_until, lambda: numbers(slow)[-1:] == [last], "the last picture")
    last = 13 * GOP
    try:
        for number in range(last):
            publisher.video(msid, picture(number), number * 40)
            gevent.sleep(0.002)
        wait_until(lambda: not subscriber.backlog_frames, "it has caught up", 15)
        publisher.video(msid, picture(last), last * 40)
        reader.get(timeout=15)
    finally:
        reader.kill()
        slow.peer.transport = slow.transport
    seen = numbers(slow)
    assert slow.payloads()[:2] == [AVC_HEADER, AAC_HEADER]
    assert seen == sorted(set(seen))
    assert len(seen) + subscriber.frames_dropped == last + 1
    assert subscriber.frames_dropped > 0
    for before, after in pairwise(seen):
        if after != before + 1:
            assert after % GOP == 0, "playback resumes at a keyframe"
    assert not house.errors()
    assert house.alive(connection.conn_id)


def test_a_player_behind_is_told_of_the_end_behind_what_it_still_gets(start: Start) -> None:
    house = start(app={"backlog_bytes": 10_000_000, "send_timeout_s": 5.0, "flush": "immediate"})
    publisher = house.client()
    msid = publisher.publish()
    publisher.chunk_size(65536)
    slow = house.client(receive_bytes=4096)
    slow.play()
    starve(house, slow)
    for number in range(20):
        publisher.video(msid, picture(number), number * 40)
    publisher.call("deleteStream", None, float(msid))
    house.wait_event("publish_stop")
    slow.wait_code("NetStream.Play.UnpublishNotify")
    slow.read_until(lambda: len(numbers(slow)) == 20, "every picture")
    assert numbers(slow) == list(range(20))


def test_a_ping_and_a_call_are_answered_while_a_picture_larger_than_any_queue_is_half_sent(start: Start) -> None:
    house = start(app={"backlog_bytes": 64 * 1024 * 1024}, limits={"message_bytes": 16 * 1024 * 1024})
    publisher, player = house.client(), house.client(receive_bytes=4096)
    msid = publisher.publish()
    publisher.chunk_size(65536)
    player.play()
    publisher.video(msid, keyframe(8_000_000))
    connection = house.connection(player)
    wait_until(lambda: connection.peer.writer.queued_bytes > 3_000_000, "the picture does not fit")
    player.send(user_control(constants.PING_REQUEST, 77))
    call = player.call("getStreamLength", None, "a")
    wait_until(lambda: len(connection.peer.writer._queue) > 1, "the answers wait after it")
    player.answer(call)
    player.wait_control(constants.PING_RESPONSE, 77)
    assert keyframe(8_000_000) in player.payloads()
    assert not house.errors()
