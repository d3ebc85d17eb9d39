"""A socket as a source of bytes: ends and errors by their names, turns, parking, and what TLS makes of it."""

from __future__ import annotations

import fcntl
import os
import ssl
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent import socket

from rtmpd.clock import FakeClock
from rtmpd.errors import ConnectionLost, HandshakeError, StartError
from rtmpd.net import transport as transport_module
from rtmpd.net.tls import TlsTransport, client_context, server_context
from rtmpd.net.transport import RECV_BYTES, RawSocket, Transport, errno_name
from rtmpd.net.writer import Writer
from tests.net.pairs import RESET_ON_CLOSE, tcp_pair
from tests.support.certificates import make_certificate
from tests.support.waiting import wait_until


class Pair:
    def __init__(self) -> None:
        sock, self.theirs = tcp_pair()
        self.transport = Transport(sock)

    def reset(self) -> None:
        self.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.theirs.close()

    def close(self) -> None:
        self.transport.close()
        self.theirs.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def received(transport: Transport) -> bytes:
    with gevent.Timeout(5):
        return transport.recv()


# --- reading ----------------------------------------------------------------------------------------


def test_bytes_come_as_they_are_sent_and_the_end_is_no_bytes(pair: Pair) -> None:
    pair.theirs.sendall(b"one")
    assert received(pair.transport) == b"one"
    reading = gevent.spawn(received, pair.transport)
    gevent.sleep(0)
    pair.theirs.sendall(b"two")
    assert reading.get() == b"two"
    pair.theirs.shutdown(socket.SHUT_WR)
    assert received(pair.transport) == b""


def test_a_reset_is_a_loss_with_its_errno_and_comes_after_what_was_said_before(pair: Pair) -> None:
    pair.theirs.sendall(b"last words")
    pair.reset()
    assert received(pair.transport) == b"last words"
    with pytest.raises(ConnectionLost) as caught:
        received(pair.transport)
    assert (caught.value.code, caught.value.clean) == ("ECONNRESET", False)


@pytest.mark.parametrize("how", ["shutdown", "shutdown_writing"])
def test_a_shutdown_wakes_who_reads_and_tells_the_peer(pair: Pair, how: str) -> None:
    reading = gevent.spawn(received, pair.transport)
    gevent.sleep(0)
    getattr(pair.transport, how)()
    with gevent.Timeout(5):
        assert pair.theirs.recv(10) == b""
        if how == "shutdown":
            assert reading.get() == b""
            return
    pair.theirs.sendall(b"still heard")
    assert reading.get() == b"still heard"


def test_a_shutdown_of_what_is_gone_does_no_harm(pair: Pair) -> None:
    pair.reset()
    pair.transport.shutdown()
    pair.transport.shutdown_writing()
    pair.transport.set_nodelay()


def test_small_replies_are_not_held_back(pair: Pair) -> None:
    pair.transport.set_nodelay()
    assert pair.transport._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    ours, theirs = socket.socketpair()
    unix = Transport(RawSocket(fileno=ours.detach()))
    unix.set_nodelay()
    unix.close()
    theirs.close()


def test_a_peer_that_sends_without_end_gives_the_others_their_turn(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "_TURN_S", 0.0)
    turns: list[int] = []

    def other() -> None:
        while True:
            turns.append(1)
            gevent.sleep(0)

    sending = gevent.spawn(pair.theirs.sendall, bytes(RECV_BYTES * 60))
    busy = gevent.spawn(other)
    wait_until(lambda: len(turns) > 3, "the sender has begun")
    before, full_reads, count = len(turns), 0, 0
    while count < RECV_BYTES * 60:
        data = received(pair.transport)
        count += len(data)
        full_reads += len(data) == RECV_BYTES
    assert full_reads and len(turns) > before
    busy.kill()
    sending.join()


def test_a_turn_that_is_not_over_switches_to_nobody(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(transport_module.gevent, "sleep", slept.append)
    pair.transport.give_way()
    pair.transport.give_way()
    assert slept == []
    pair.transport._turn_began -= 1
    pair.transport.give_way()
    assert len(slept) == 1
    pair.transport.give_way()
    assert len(slept) == 1, "the next turn has begun"


def test_media_may_wait_unread_so_that_it_is_read_in_one(pair: Pair) -> None:
    pair.transport.gather_s = 0.05
    reading = gevent.spawn(received, pair.transport)
    gevent.sleep(0)
    pair.theirs.sendall(b"one ")
    gevent.sleep(0.01)
    pair.theirs.sendall(b"two")
    assert reading.get() == b"one two"


def test_who_is_parked_is_called_once_when_bytes_come(pair: Pair) -> None:
    calls: list[bytes] = []
    pair.transport.when_readable(lambda: calls.append(pair.transport._sock_recv(10)))
    gevent.sleep(0.01)
    assert calls == []
    pair.theirs.sendall(b"up")
    wait_until(lambda: calls, "the call")
    pair.theirs.sendall(b"more")
    gevent.sleep(0.02)
    assert calls == [b"up"]
    assert received(pair.transport) == b"more"


def test_who_is_parked_is_called_for_the_end_too(pair: Pair) -> None:
    calls: list[int] = []
    pair.transport.when_readable(lambda: calls.append(1))
    pair.theirs.close()
    wait_until(lambda: calls, "the call")
    assert received(pair.transport) == b""


def test_closing_frees_the_descriptor_and_a_parked_one_is_never_called() -> None:
    pair = Pair()
    calls: list[int] = []
    pair.transport.when_readable(lambda: calls.append(1))
    descriptor = pair.transport.fileno()
    pair.theirs.sendall(b"late")
    pair.transport.close()
    gevent.sleep(0.01)
    assert pair.transport.fileno() == -1 and calls == []
    with pytest.raises(OSError):
        os.fstat(descriptor)
    pair.theirs.close()


def test_a_plain_transport_keeps_nothing_back(pair: Pair) -> None:
    assert pair.transport.flush() and not pair.transport.has_buffered() and not pair.transport.buffers


def test_errors_are_named() -> None:
    assert errno_name(ConnectionResetError(104, "x")) == "ECONNRESET"
    assert errno_name(OSError("no number")) == "OSError"


# --- TLS --------------------------------------------------------------------------------------------


class TlsPair:
    """A server's transport and a client's, before the handshake."""

    def __init__(self, home: Path, small: bool = False) -> None:
        cert, key = make_certificate(home)
        sock, theirs = tcp_pair()
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.server = TlsTransport(sock, server_context(cert, key))
        self.client = TlsTransport(RawSocket(fileno=theirs.detach()), client_context(verify=False), "localhost")

    def shake_hands(self) -> TlsPair:
        serving = gevent.spawn(self.server.handshake)
        with gevent.Timeout(5):
            self.client.handshake()
            serving.get()
        return self

    def close(self) -> None:
        self.server.close()
        self.client.close()


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[TlsPair]:
    made = TlsPair(tmp_path)
    yield made
    made.close()


def test_the_two_ends_agree_on_what_they_speak(tls: TlsPair) -> None:
    assert tls.server.tls_version == ""
    tls.shake_hands()
    assert tls.server.tls_version == tls.client.tls_version == "TLSv1.3"
    assert tls.server.tls_cipher == tls.client.tls_cipher != ""


def test_bytes_pass_both_ways_and_a_goodbye_is_the_end(tls: TlsPair) -> None:
    tls.shake_hands()
    assert tls.client.send_now(b"hello") == 5
    assert received(tls.server) == b"hello"
    tls.server.send_now(b"there")
    assert received(tls.client) == b"there"
    tls.client._say_goodbye()
    assert received(tls.server) == b"", "without the end of TCP"
    tls.server.shutdown()
    assert received(tls.client) == b""


def test_an_end_of_tcp_without_a_goodbye_is_an_end_too(tls: TlsPair) -> None:
    tls.shake_hands()
    tls.client._sock.shutdown(socket.SHUT_WR)
    assert received(tls.server) == b""


def test_what_is_no_tls_any_more_is_a_loss(tls: TlsPair) -> None:
    tls.shake_hands()
    tls.client._sock.send(b"this was never encrypted")
    with pytest.raises(ConnectionLost) as caught:
        received(tls.server)
    assert (caught.value.code, caught.value.clean) == ("tls_failure", False)


def waiting_bytes(transport: Transport) -> int:
    """Bytes that the kernel has received and nobody has read."""
    return int.from_bytes(fcntl.ioctl(transport.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)


def test_bytes_that_were_decrypted_and_not_read_are_known(tls: TlsPair) -> None:
    tls.shake_hands()
    tls.client.send_now(bytes(16000))
    tls.client.send_now(bytes(10))
    wait_until(lambda: waiting_bytes(tls.server) > 16020, "both records have come")
    assert len(received(tls.server)) == 16000
    assert tls.server.has_buffered()
    assert len(received(tls.server)) == 10
    assert not tls.server.has_buffered()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"])
@pytest.mark.parametrize("way", ["end", "reset"])
def test_who_leaves_before_the_handshake_left_cleanly_only_without_a_byte(tls: TlsPair, sent: bytes, way: str) -> None:
    raw = tls.client._sock
    if sent:
        raw.send(sent)
    serving = gevent.spawn(tls.server.handshake)
    gevent.sleep(0.02)
    if way == "reset":
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        tls.client.close()
    else:
        raw.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionLost) as caught, gevent.Timeout(5):
        serving.get()
    assert caught.value.code == ("ECONNRESET" if way == "reset" else "EOF")
    assert caught.value.clean == (not sent)


def test_who_speaks_no_tls_is_reported(tls: TlsPair) -> None:
    tls.client._sock.send(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(HandshakeError) as caught:
        tls.server.handshake()
    assert (caught.value.code, caught.value.error_type) == ("tls_failure", "handshake_failure")


def test_a_certificate_that_is_not_trusted_ends_the_handshake_on_both_sides(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    sock, theirs = tcp_pair()
    server = TlsTransport(sock, server_context(cert, key))
    client = TlsTransport(RawSocket(fileno=theirs.detach()), client_context(), "localhost")
    serving = gevent.spawn(server.handshake)
    with pytest.raises(HandshakeError, match="certificate verify failed"):
        client.handshake()
    client.shutdown()
    with pytest.raises((HandshakeError, ConnectionLost)):
        serving.get(timeout=5)
        server.recv()
    server.close()
    client.close()


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=str(tmp_path / "nothing.pem")) as caught:
        server_context(str(tmp_path / "nothing.pem"), str(tmp_path / "key.pem"))
    assert caught.value.key == "server.tls_cert"
    assert server_context(*make_certificate(tmp_path)).minimum_version is ssl.TLSVersion.TLSv1_2


def test_encrypted_bytes_that_the_socket_refuses_wait_and_make_the_writer_busy(tmp_path: Path) -> None:
    pair = TlsPair(tmp_path, small=True).shake_hands()
    writer = Writer(pair.server, FakeClock(), 1 << 30, lambda code, text: None)
    data = os.urandom(6_000_000)
    writer.write(data)
    assert writer.busy and not pair.server.flush()
    with pytest.raises(BlockingIOError):
        pair.server.send_now(b"not now")
    got = bytearray()

    def read_all() -> None:
        while len(got) < len(data):
            got.extend(pair.client.recv())

    with gevent.Timeout(20):
        read_all()
    wait_until(lambda: not writer.busy, "everything was taken")
    assert bytes(got) == data
    assert pair.server.flush() and writer.bytes_sent == len(data)
    writer.close()
    pair.close()


def test_a_fan_out_past_the_writer_makes_it_busy_too(tmp_path: Path) -> None:
    """What the kernel does not take of what was sent past the queue is announced to the writer, from the hub."""
    pair = TlsPair(tmp_path, small=True).shake_hands()
    writer = Writer(pair.server, FakeClock(), 1 << 30, lambda code, text: None)
    told: list[str] = []

    class Listener:
        def on_busy(self) -> None:
            told.append("busy")

        def on_drained(self) -> None:
            told.append("drained")

    writer.listen(Listener())
    sent = 0
    try:
        while pair.server.flush():
            sent += writer.send_now(bytes(60_000))
    except BlockingIOError:
        pass
    assert told == [], "not inside the loop that sends"
    wait_until(lambda: told == ["busy"], "the writer knows")
    count = 0
    with gevent.Timeout(20):
        while count < sent:
            count += len(pair.client.recv())
    wait_until(lambda: told == ["busy", "drained"], "the socket takes bytes again")
    writer.close()
    pair.close()


