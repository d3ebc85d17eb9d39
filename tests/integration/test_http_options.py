"""What the options of ``[http]`` do to clients: from the text of a file to real connections."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import gevent
import pytest

from rtmpd.config import flags
from rtmpd.config.loader import load
from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.hook.build import check_auth, check_template
from rtmpd.hook.filter import condition
from rtmpd.settings import TlsSettings
from tests.support.house import Running
from tests.support.proof import proves
from tests.support.waiting import wait_until

from .conftest import Start

Serve = Callable[[str], "Served"]
KEPT = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
WELL_BEFORE_THE_DEFAULTS_S = 5.0


class Served:
    """A house that serves HTTP as the lines of its ``[http]`` say."""

    def __init__(self, house: Running, places: list[str]) -> None:
        self.house = house
        self.port = int(next(place for place in places if not place.startswith("/")).rpartition(":")[2])

    def connect(self, receive_bytes: int = 0) -> socket.socket:
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(WELL_BEFORE_THE_DEFAULTS_S)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def ask(self, head: str, body: bytes = b"") -> bytes:
        """The whole answer to one request; ``head`` is without its end."""
        with self.connect() as sock:
            sock.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
            return all_of(sock)


def all_of(sock: socket.socket) -> bytes:
    """What comes until the other side ends."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


class Desk:
    """A control of the configuration that nobody asks."""

    result = {"ok": True}


@pytest.fixture
def serve(start: Start, tmp_path: Path) -> Iterator[Serve]:
    """Start a house with these lines in ``[http]``."""

    def begin(lines: str) -> Served:
        file = tmp_path / "rtmpd.ini"
        given = "" if "listen = " in lines else "listen = 127.0.0.1:0\n"
        file.write_text(f"[server]\nlisten = 127.0.0.1:0\n[http]\nsocket = ''\n{given}{lines}")
        line = flags.parse(["-c", str(file)])
        loaded = load(line, list(EVENT_TYPES), {}, condition.check, check_auth, check_template=check_template)
        house = start(settings=loaded.settings)
        return Served(house, house.house.serve_http(Desk(), None))  # type: ignore[arg-type]  # nobody asks for them

    yield begin


@proves("http.listen")
def test_http_is_served_where_listen_says(serve: Serve) -> None:
    served = serve("listen = 127.0.0.1:0\n")
    assert status_of(served.ask("GET /healthz HTTP/1.1\r\nHost: localhost")) == 200


@proves("http.tls_listen", "http.tls_cert", "http.tls_key")
def test_https_is_served_with_the_certificate(serve: Serve, certificate: TlsSettings) -> None:
    served = serve(f"tls_listen = 127.0.0.1:0\ntls_cert = {certificate.cert}\ntls_key = {certificate.key}\n")
    context = ssl.create_default_context(cafile=certificate.cert)
    with context.wrap_socket(served.connect(), server_hostname="localhost") as sock:
        sock.sendall(KEPT)
        assert status_of(sock.recv(65536)) == 200


@proves("http.hosts")
def test_a_name_of_hosts_may_be_asked_for_and_another_may_not(serve: Serve) -> None:
    served = serve("hosts = a.example\n")
    assert status_of(served.ask("GET /healthz HTTP/1.1\r\nHost: a.example")) == 200
    assert status_of(served.ask("GET /healthz HTTP/1.1\r\nHost: b.example")) == 421


@proves("http.token_file")
def test_a_token_of_the_file_opens_what_is_closed_without(serve: Serve, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text("0123456789abcdef-one\n")
    served = serve(f"token_file = {tokens}\n")
    asked = "GET /api/v1/server HTTP/1.1\r\nHost: localhost"
    assert status_of(served.ask(asked)) == 401
    assert status_of(served.ask(f"{asked}\r\nAuthorization: Bearer 0123456789abcdef-one")) == 200
    tokens.write_text("0123456789abcdef-two\n")
    assert status_of(served.ask(f"{asked}\r\nAuthorization: Bearer 0123456789abcdef-one")) == 401


@proves("http.connections")
def test_the_connection_that_was_idle_longest_makes_room_for_one_too_many(serve: Serve) -> None:
    served = serve("connections = 4\n")
    kept = []
    for _ in range(4):
        kept.append(served.connect())
        kept[-1].sendall(KEPT)
        assert status_of(kept[-1].recv(65536)) == 200
    assert status_of(served.ask("GET /healthz HTTP/1.1\r\nHost: localhost")) == 200
    assert kept[0].recv(1) == b""
    kept[3].sendall(KEPT)
    assert status_of(kept[3].recv(65536)) == 200
    for sock in kept:
        sock.close()


@proves("http.body_size")
def test_a_larger_body_is_refused(serve: Serve) -> None:
    served = serve("body_size = 1k\n")
    head = "POST /api/v1/kick HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    assert status_of(served.ask(f"{head}1025", b"{" + b" " * 1024)) == 413
    assert status_of(served.ask(f"{head}1024", b"{" + b" " * 1023)) == 403  # it was read, and needs a token


@proves("http.request_timeout")
def test_a_request_that_does_not_arrive_in_time_ends_its_connection(serve: Serve) -> None:
    served = serve("request_timeout = 100ms\n")
    with served.connect() as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost")
        assert status_of(all_of(sock)) == 408


@proves("http.send_timeout")
def test_a_client_that_takes_nothing_of_its_answer_is_let_go(serve: Serve) -> None:
    served = serve("send_timeout = 200ms\n")
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    whole = len(served.ask("GET /openapi.json HTTP/1.1\r\nHost: localhost"))
    many = (16 << 20) // whole  # more than the buffers of two sockets hold
    with served.connect(receive_bytes=4096) as sock:
        sender = gevent.spawn(_send, sock, asked * many)
        wait_until(lambda: not _is_established(served.port), "the connection ends", WELL_BEFORE_THE_DEFAULTS_S)
        assert len(all_of(sock)) < whole * many
        sender.kill()


def _send(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
    except OSError:
        pass  # it was let go


def _is_established(port: int) -> bool:
    """Whether the server has a connection at that port, from the kernel's table."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(row[1].rpartition(":")[2], 16) == port and row[3] == "01" for row in rows)


TOKEN = "0123456789abcdef-one"
TAIL = f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close"


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    """The line that names a file with ``TOKEN``."""
    file = tmp_path / "tokens"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n")
    return f"token_file = {file}\n"


@proves("http.event_listeners")
def test_one_listener_too_many_is_refused(serve: Serve, tokens: str) -> None:
    served = serve(f"event_listeners = 1\n{tokens}")
    with served.connect() as first:
        first.sendall(f"{TAIL}\r\n\r\n".encode())
        assert status_of(first.recv(65536)) == 200
        refused = served.ask(TAIL)
        assert status_of(refused) == 503 and b"event_listeners" in refused


@proves("http.event_queue")
def test_a_listener_that_is_further_behind_than_the_queue_is_let_go(serve: Serve, tokens: str) -> None:
    served = serve(f"event_queue = 10\n{tokens}")
    with served.connect(receive_bytes=4096) as sock:
        sock.sendall(f"{TAIL}\r\n\r\n".encode())
        assert status_of(sock.recv(100)) == 200
        (listener,) = served.house.house._api.tail._listeners  # type: ignore[union-attr]
        facts = {"result": "applied", "changed": ["x" * 16_000], "restart_needed": [], "errors": []}
        emit = partial(served.house.house.hooks.emit, "config_reload", **facts)
        while len(listener._waiting) < 5:  # until the sockets take no more
            emit()
            wait_until(served.house.drained, "the recorder has the event")
            gevent.sleep(0.001)
        for _ in range(20):
            emit()
        wait_until(served.house.drained, "the recorder has every event")
        assert all_of(sock).rstrip(b"0\r\n").endswith(b"event: too_slow\ndata: {}\n\n".rstrip())
