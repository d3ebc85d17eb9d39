"""The queue of one connection: order, bounds, and that nothing sent past it lands inside a message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gevent import socket

from rtmpd.clock import FakeClock
from rtmpd.net.transport import RawSocket, Transport
from rtmpd.net.writer import Writer
from tests.support.waiting import wait_until


class Pair:
    """A writer with small buffers, and the other end of its socket."""

    def __init__(self, limit_bytes: int = 1_000_000) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.transport = Transport(RawSocket(fileno=ours.detach()))
        self.clock = FakeClock()
        self.failures: list[str] = []
        self.writer = Writer(self.transport, self.clock, limit_bytes, lambda code, text: self.failures.append(code))
        self.told: list[str] = []

    def on_busy(self) -> None:
        self.told.append("busy")

    def on_drained(self) -> None:
        self.told.append("drained")

    def fill(self) -> int:
        """Send past the queue until the socket is full, as the fan-out does; how many bytes that were."""
        sent = 0
        try:
            while True:
                sent += self.writer.send_now(b"." * 1000)
        except BlockingIOError:
            return sent

    def received(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self.theirs.recv(count - len(data))
        return data

    def close(self) -> None:
        self.writer.close()
        self.transport.close()
        self.theirs.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_what_was_held_leaves_in_one_piece(pair: Pair) -> None:
    pair.writer.corked = True
    pair.writer.write(b"one ")
    pair.writer.write(b"two")
    pair.writer.uncork()
    assert pair.theirs.recv(100) == b"one two"


def test_nothing_is_held_from_somebody_who_sends_past_the_queue(pair: Pair) -> None:
    pair.writer.corked = True
    pair.writer.write(b"reply ")
    pair.writer.listen(pair)
    pair.writer.send_now(b"media ")
    pair.writer.corked = True
    pair.writer.write(b"reply ")
    pair.writer.send_now(b"media")
    pair.writer.uncork()
    assert pair.received(23) == b"reply media reply media"


def test_the_rest_of_a_message_follows_before_anything_else(pair: Pair) -> None:
    pair.writer.listen(pair)
    pair.writer.corked = True
    sent = pair.fill()
    pair.writer.push(b"rest ")
    pair.writer.write(b"reply")
    pair.writer.uncork()
    assert pair.received(sent + 10)[sent:] == b"rest reply"


def test_listeners_are_told_once_of_busy_and_once_of_drained(pair: Pair) -> None:
    pair.writer.listen(pair)
    sent = pair.fill()
    pair.writer.write(b"a" * 10)
    pair.writer.write(b"b" * 10)
    assert pair.writer.busy
    assert pair.writer.queued_bytes == 20
    assert pair.received(sent + 20)[sent:] == b"a" * 10 + b"b" * 10
    wait_until(lambda: not pair.writer.busy, "the queue is empty")
    assert pair.told == ["busy", "drained"]


class Holding(Transport):
    """Accepts everything and passes nothing on, as TLS does while the socket is full."""

    buffers = True

    def flush(self) -> bool:
        return False


def test_bytes_that_only_the_transport_has_accepted_make_the_writer_busy(pair: Pair) -> None:
    ours, theirs = socket.socketpair()
    transport = Holding(RawSocket(fileno=ours.detach()))
    writer = Writer(transport, pair.clock, 1000, lambda code, text: None)
    writer.write(b"x")
    assert writer.busy
    writer.close()
    transport.close()
    theirs.close()


def test_too_much_that_waits_is_a_failure_told_once() -> None:
    pair = Pair(limit_bytes=1000)
    pair.fill()
    for _ in range(5):
        pair.writer.write(b"x" * 600)
    assert pair.failures == ["send_queue_full"]
    assert pair.writer.queued_bytes == 0
    pair.close()


def test_the_rest_of_a_picture_of_any_size_leaves_the_limit_to_what_follows_it() -> None:
    pair = Pair(limit_bytes=1000)
    sent = pair.fill()
    pair.writer.push(b"p" * 5000)
    for _ in range(3):
        pair.writer.write(b"r" * 500)
    assert pair.failures == []
    assert pair.writer.queued_bytes == 6500
    pair.writer.write(b"r")
    pair.writer.write(b"one too many")
    assert pair.failures == ["send_queue_full"]
    pair.close()
    assert sent


def test_what_was_left_of_the_first_piece_counts_no_more_once_it_is_sent() -> None:
    pair = Pair(limit_bytes=1000)
    pair.fill()
    pair.writer.push(b"p" * 300_000)
    pair.writer.write(b"r" * 200_000)
    wait_until(lambda: pair.received(4000) and pair.writer.queued_bytes < 150_000, "the first piece has gone")
    assert pair.writer.queued_bytes > 1000 and pair.failures == []
    pair.writer.write(b"more")
    assert pair.failures == ["send_queue_full"]
    pair.close()


def test_who_is_told_after_one_who_made_the_socket_busy_again_is_not_told(pair: Pair) -> None:
    told: list[str] = []

    class Other:
        def __init__(self, name: str, data: bytes) -> None:
            self.name, self.data = name, data

        def on_busy(self) -> None:
            pass

        def on_drained(self) -> None:
            told.append(self.name)
            pair.writer.write(self.data)
            self.data = b""

    pair.writer.listen(Other("first", b"x" * 400_000))
    pair.writer.listen(Other("second", b""))
    sent = pair.fill()
    pair.writer.write(b"a")
    pair.received(sent + 1)
    wait_until(lambda: told, "the first is told")
    assert told == ["first"] and pair.writer.busy
    pair.received(400_000)
    wait_until(lambda: not pair.writer.busy, "all is sent")
    assert told == ["first", "first", "second"]


def test_stalled_since_moves_whenever_the_socket_takes_something(pair: Pair) -> None:
    sent = pair.fill()
    pair.writer.write(b"x" * 200_000)
    began = pair.writer.stalled_since
    pair.clock.advance(10)
    pair.received(sent)
    wait_until(lambda: pair.writer.stalled_since > began, "progress is noted")
    assert pair.writer.busy


def test_a_broken_socket_is_told_by_its_errno(pair: Pair) -> None:
    pair.theirs.close()
    pair.writer.write(b"x")
    pair.writer.write(b"x")
    assert pair.failures == ["EPIPE"]


def test_a_socket_that_is_full_takes_nothing(pair: Pair) -> None:
    pair.fill()
    with pytest.raises(BlockingIOError):
        pair.writer.send_now(b"x")


