"""The server over real sockets, asked by clients that mean no good."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path

import gevent
import pytest

from rtmpd.http.front import Front

from .desk import TOKEN, Desk, document_of, headers_of, rest, status_of

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(length: str, body: bytes, path: str = "/api/v1/kick", more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Authorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n{more}\r\n".encode() + body


def test_an_answer_says_that_the_connection_ends_with_it(desk: Desk) -> None:
    answer = desk.send(GET)
    assert status_of(answer) == 200
    headers = headers_of(answer)
    assert headers["connection"] == "close"
    assert headers["cache-control"] == "no-store"
    assert document_of(answer) == {"status": "ok", "hub_lag_ms": 0.5}


HOSTILE = [
    (post("2", b"{}").replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 20"), 400),
    (post("2", b"{}", more="Transfer-Encoding: chunked\r\n"), 400),
    (post("2", b"{}").replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"), 411),
    (post("99999999", b""), 413),
    (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40000 + b"\r\n\r\n", 431),
    (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 100 + b"\r\n", 431),
    (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    (b"GET /healthz HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n", 421),
    (b"GET /healthz HTTP/1.1\r\nHost: localhost:80x\r\n\r\n", 421),
    (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 421),
    (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    (b"\x03" + bytes(1536), 400),
    (b"\x16\x03\x01\x00\xc4\x01\x00", 400),
    (b"SSH-2.0-x\r\n\r\n", 400),
    (b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (post("2", b"{}", more="Expect: the-unexpected\r\n"), 400),
]


@pytest.mark.parametrize(("data", "status"), HOSTILE)
def test_a_hostile_request_is_refused_and_the_next_one_answered(desk: Desk, data: bytes, status: int) -> None:
    answer = desk.send(data)
    assert status_of(answer) == status
    assert headers_of(answer)["content-type"] == "application/problem+json"
    assert document_of(answer)["status"] == status
    assert status_of(desk.send(GET)) == 200


def test_what_is_not_understood_is_not_expected(desk: Desk) -> None:
    sock = desk.connect()
    sock.sendall(post("20", b"", more="Expect: the-unexpected\r\n"))
    assert status_of(rest(sock)) == 417


def test_a_client_that_asks_first_is_told_to_go_on(desk: Desk) -> None:
    sock = desk.connect()
    sock.sendall(post("23", b"", more="Expect: 100-continue\r\n"))
    assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b'{"stream_key":"live/a"}')
    assert status_of(rest(sock)) == 200


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\nHost:", post("50", b'{"a":')])
def test_a_request_that_does_not_come_in_time_is_refused(desk: Desk, start: bytes) -> None:
    answer = desk.send(start)
    assert status_of(answer) == 408


def test_a_request_that_drips_is_refused_at_the_deadline_of_the_whole(desk: Desk) -> None:
    sock = desk.connect()
    dripping = gevent.spawn(drip, sock)
    try:
        assert status_of(rest(sock)) == 408
    finally:
        dripping.kill()


def drip(sock: socket.socket) -> None:
    sock.sendall(b"GET /healthz HTTP/1.1\r\n")
    while True:
        sock.sendall(b"X: a\r\n")
        gevent.sleep(0.05)


def test_what_follows_a_request_is_no_second_request(desk: Desk) -> None:
    answer = desk.send(GET + post("23", b'{"stream_key":"live/a"}'))
    assert answer.count(b"HTTP/1.1") == 1
    assert desk.kicked == []


def test_a_body_that_goes_on_behind_its_length_is_not_read(desk: Desk) -> None:
    answer = desk.send(post("23", b'{"stream_key":"live/a"}' + post("23", b'{"stream_key":"live/a"}')))
    assert status_of(answer) == 200
    assert desk.kicked == [("live/a", "publisher")]


def test_garbage_of_any_kind_leaves_the_server_whole(desk: Desk) -> None:
    for seed in range(40):
        data = bytes((seed * 7919 + n * 104729 >> 3) & 0xFF for n in range(seed * 13 + 1))
        sock = desk.connect(unix=bool(seed % 2))
        sock.sendall(data)
        sock.close()
    assert status_of(desk.send(GET)) == 200


def test_a_listener_that_is_full_says_so_and_the_control_socket_stays_usable(tmp_path: Path) -> None:
    desk = Desk(tmp_path, connections=4, request_timeout_s=5.0)
    try:
        held = [desk.connect() for _ in range(4)]
        gevent.sleep(0)
        answer = rest(desk.connect())
        assert status_of(answer) == 503
        assert headers_of(answer)["retry-after"] == "1"
        assert desk.ask("GET", "/healthz")[0] == 200
        for sock in held:
            sock.close()
        deadline = time.monotonic() + 5
        while not is_served(desk):
            assert time.monotonic() < deadline, "the places are free again"
            gevent.sleep(0.01)
    finally:
        desk.close()


def is_served(desk: Desk) -> bool:
    try:
        return status_of(desk.send(GET)) == 200
    except ConnectionResetError:  # what was sent had not been read when the connection was refused
        return False


def test_http_1_0_gets_an_answer_without_chunks(desk: Desk) -> None:
    head = f"POST /api/v1/dead-letters/replay HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    answer = desk.send(head.encode())
    assert "transfer-encoding" not in headers_of(answer)
    assert answer.endswith(b'{"done":true}\n')


def test_head_is_get_without_its_body(desk: Desk) -> None:
    whole, head = desk.send(GET), desk.send(GET.replace(b"GET", b"HEAD"))
    assert head == whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def test_an_error_of_ours_is_an_answer_and_a_traceback_in_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.reasons = None  # type: ignore[assignment]
    desk.lag_ms = "late"  # type: ignore[assignment]
    assert desk.ask("GET", "/healthz")[0] == 500
    assert "request failed by an error of ours" in caplog.messages
    desk.lag_ms = 0.0
    assert desk.ask("GET", "/healthz")[0] == 200


# --- the control socket ---------------------------------------------------------------------------


def test_the_control_socket_is_for_its_owner_and_goes_with_the_server(desk: Desk) -> None:
    assert stat.S_IMODE(os.stat(desk.path).st_mode) == 0o600
    desk.front.stop()
    assert not os.path.exists(desk.path)


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))
    desk = Desk(tmp_path)
    assert desk.ask("GET", "/healthz")[0] == 200
    desk.close()


def test_the_socket_of_a_running_daemon_is_not_taken(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="a running daemon listens there"):
        Desk(tmp_path)
    assert desk.ask("GET", "/healthz")[0] == 200


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("mine")
    with pytest.raises(OSError, match="there is something else"):
        Desk(tmp_path)
    assert path.read_text() == "mine"


def test_a_socket_that_another_daemon_has_made_meanwhile_is_left_to_it(desk: Desk, tmp_path: Path) -> None:
    os.unlink(desk.path)
    other = Desk(tmp_path)
    desk.front.stop()
    assert other.ask("GET", "/healthz")[0] == 200
    other.close()


def test_without_its_usual_place_the_server_runs_without_a_control_socket(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("rtmpd.http.place.CONTROL_SOCKET", "/nowhere/control.sock")
    monkeypatch.setattr("rtmpd.http.front.CONTROL_SOCKET", "/nowhere/control.sock")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    settings = type(desk.settings)(socket="/nowhere/control.sock")
    front = Front(settings, desk._api())
    assert front.start() == []
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert front.start() == [str(tmp_path / "rtmpd.sock")]
    second = Front(settings, desk._api())
    assert second.start() == [], "somebody else is there"
    front.stop()


def test_a_place_that_was_asked_for_by_name_must_be_there(desk: Desk) -> None:
    front = Front(type(desk.settings)(socket="/nowhere/control.sock"), desk._api())
    with pytest.raises(OSError, match=r"cannot make the control socket /nowhere/control.sock: No such file"):
        front.start()


def test_a_port_that_is_taken_leaves_nothing_bound(desk: Desk, tmp_path: Path) -> None:
    from rtmpd.settings import Address

    path = str(tmp_path / "other.sock")
    front = Front(type(desk.settings)(listen=(Address("127.0.0.1", desk.port),), socket=path), desk._api())
    with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.1:{desk.port}: Address already in use"):
        front.start()
    assert not os.path.exists(path)
