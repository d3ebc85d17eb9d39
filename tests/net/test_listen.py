"""Listening sockets: all addresses of a name, and paths that are ours."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from rtmpd.net import outgoing
from rtmpd.net.listen import listen_tcp, listen_unix
from rtmpd.net.outgoing import Endpoint, literal
from rtmpd.net.transport import RawSocket


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names lead to, in the order of the system."""
    names: dict[str, list[str]] = {}

    def look_up(name: str) -> list[Endpoint]:
        return [endpoint for address in names[name] for endpoint in literal(address)]

    monkeypatch.setattr(outgoing, "look_up", look_up)
    return names


def reaches(host: str, port: int) -> bool:
    with RawSocket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as sock:
        return bool(sock.connect_ex((host, port)) == 0)


def close(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.close()


def test_every_address_of_a_name_is_listened_on_with_one_port(names: dict[str, list[str]]) -> None:
    names["both.test"] = ["::1", "127.0.0.1", "127.0.0.2"]
    socks = listen_tcp("both.test", 0, 8)
    ports = {sock.getsockname()[1] for sock in socks}
    assert len(socks) == 3 and len(ports) == 1
    assert all(reaches(host, next(iter(ports))) for host in names["both.test"])
    close(socks)


def test_an_address_that_this_machine_does_not_have_is_left_out(names: dict[str, list[str]]) -> None:
    names["half.test"] = ["198.51.100.7", "127.0.0.1"]
    (sock,) = listen_tcp("half.test", 0, 8)
    assert sock.getsockname()[0] == "127.0.0.1"
    sock.close()
    names["none.test"] = ["198.51.100.7", "198.51.100.8"]
    with pytest.raises(OSError) as raised:
        listen_tcp("none.test", 0, 8)
    assert raised.value.errno == errno.EADDRNOTAVAIL


def test_a_port_that_is_taken_on_one_address_leaves_nothing_bound(names: dict[str, list[str]]) -> None:
    (taken,) = listen_tcp("127.0.0.2", 0, 8)
    port = taken.getsockname()[1]
    names["both.test"] = ["127.0.0.1", "127.0.0.2"]
    with pytest.raises(OSError) as raised:
        listen_tcp("both.test", port, 8)
    assert raised.value.errno == errno.EADDRINUSE and not reaches("127.0.0.1", port)
    taken.close()


def test_without_a_host_both_families_come_to_one_socket() -> None:
    (sock,) = listen_tcp("", 0, 8)
    port = sock.getsockname()[1]
    assert reaches("127.0.0.1", port) and reaches("::1", port)
    sock.close()


def test_an_ipv6_address_takes_no_ipv4() -> None:
    (sock,) = listen_tcp("::", 0, 8)
    assert not reaches("127.0.0.1", sock.getsockname()[1])
    sock.close()


def test_a_name_that_cannot_be_resolved_is_an_error() -> None:
    with pytest.raises(OSError):
        listen_tcp("no-such-host.invalid", 0, 8)


def test_a_path_is_for_its_owner_only(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    sock = listen_unix(path, 1)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    sock.close()


def test_what_a_killed_process_left_is_replaced_and_a_running_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listen_unix(path, 1).close()
    running = listen_unix(path, 0)
    held = [RawSocket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
    for full in held:
        full.setblocking(False)
        with pytest.raises(OSError, match="running daemon"):
            listen_unix(path, 1)
        full.connect_ex(path)  # until its queue is full
    close([running, *held])
    (tmp_path / "f").write_text("x")
    with pytest.raises(OSError, match="not a socket"):
        listen_unix(str(tmp_path / "f"), 1)
    assert (tmp_path / "f").read_text() == "x"
