"""The way out: a peer that is ready, or an error that says what was wrong and leaves nothing open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket

from rtmpd.clock import Clock
from rtmpd.errors import ConnectionLost, HandshakeError, PeerError, PeerTimeout
from rtmpd.net.dial import dial
from rtmpd.net.outgoing import Outgoing
from rtmpd.net.peer import Peer
from rtmpd.net.tls import TlsTransport, server_context
from rtmpd.net.transport import RawSocket, Transport
from rtmpd.protocol.chunk import ChunkLimits
from rtmpd.protocol.url import parse_url
from tests.support.certificates import make_certificate
from tests.support.waiting import wait_until


@contextmanager
def server(answer: str, home: Path | None = None) -> Iterator[int]:
    """Serve one client: shake hands, or do what ``answer`` says; the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        accepted, _ = listener.accept()
        with accepted:
            if answer == "silence":
                accepted.recv(10_000)
                gevent.sleep(5)
            elif answer == "noise":
                accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                accepted.recv(10_000)
            elif answer == "hang up":
                accepted.recv(1)
            else:
                shake_hands(RawSocket(fileno=os.dup(accepted.fileno())))

    def shake_hands(sock: Any) -> None:
        transport = TlsTransport(sock, server_context(*make_certificate(home))) if home else Transport(sock)
        try:
            if isinstance(transport, TlsTransport):
                transport.handshake()
            peer = Peer(transport, Clock(), ChunkLimits(), lambda code, text: None)
            peer.accept_handshake(1)
            peer.flush()
            transport.recv()
        except PeerError:
            pass  # the client did not like us
        finally:
            transport.close()

    serving = gevent.spawn(serve)
    yield listener.getsockname()[1]
    serving.kill()
    listener.close()


def call(port: int, scheme: str = "rtmp", timeout_s: float = 3.0, verify: bool = True) -> Peer:
    url = parse_url(f"{scheme}://127.0.0.1:{port}/live/a")
    return dial(url, Outgoing(Clock(), 1), Clock(), ChunkLimits(), lambda code, text: None, timeout_s, verify)


def hang_up(peer: Peer) -> None:
    peer.flush()
    peer.writer.close()
    peer.transport.close()


def test_a_peer_comes_back_past_the_handshake_and_sends_at_once() -> None:
    with server("rtmp") as port:
        peer = call(port)
        assert peer.bytes_received == 3073
        sock = peer.transport._sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        hang_up(peer)


def test_a_peer_over_tls_is_verified_unless_that_is_not_wanted(tmp_path: Path) -> None:
    with server("rtmps", tmp_path) as port:
        peer = call(port, "rtmps", verify=False)
        assert peer.transport.tls_version
        hang_up(peer)
    with server("rtmps", tmp_path) as port, pytest.raises(HandshakeError, match="certificate verify failed"):
        call(port, "rtmps")


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        ("silence", PeerTimeout, "dial_timeout"),
        ("noise", HandshakeError, "unsupported_version"),
        ("hang up", ConnectionLost, ""),
    ],
)
def test_a_server_that_is_none_is_an_error_and_nothing_stays_open(
    answer: str, error: type[PeerError], code: str
) -> None:
    with server(answer) as port:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(error) as caught:
            call(port, timeout_s=0.3)
        assert not code or caught.value.code == code
        wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1, "the socket is closed")  # theirs may be open


def test_a_port_that_nobody_listens_on_is_named() -> None:
    with server("rtmp") as port:
        pass
    with pytest.raises(ConnectionLost, match=f"127.0.0.1 port {port}.*refused") as caught:
        call(port)
    assert caught.value.code == "ECONNREFUSED"
