"""Where the server can be reached, and that accepting outlives a shortage of descriptors."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rtmpd.errors import StartError
from rtmpd.settings import Address
from tests.integration.conftest import Start, start
from tests.support.child import REPOSITORY, free_port, is_listening
from tests.support.client import Client, handshake_bytes, keyframe
from tests.support.waiting import wait_until

__all__ = ["start"]
FILES = 40


def test_ipv6_clients_are_served_and_told_as_such(start: Start) -> None:
    house = start(listen=(Address("::1", 0),))
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    player.play()
    publisher.video(msid, keyframe())
    player.wait_payload(keyframe())
    accept = house.wait_event("connection_accept").data
    assert (accept["client_ip"], accept["server_ip"]) == ("::1", "::1")
    assert str(accept["remote_addr"]).startswith("[::1]:")


def test_without_a_host_both_families_are_served_and_ipv4_is_written_as_such(start: Start) -> None:
    house = start(listen=(Address("", 0),))
    port = house.address.port
    house.client(Address("::1", port)).publish("six")
    house.client(Address("127.0.0.1", port)).publish("four")
    assert [e.data["client_ip"] for e in house.of("connection_accept")] == ["::1", "127.0.0.1"]


def test_a_port_in_use_is_a_start_error_and_nothing_stays_bound(start: Start) -> None:
    house = start()
    taken = house.address
    with pytest.raises(StartError, match="another server may be using it"):
        start(listen=(Address("127.0.0.1", 0), taken))


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def test_accepting_outlives_a_shortage_of_descriptors(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "rtmpd", "-listen", f"127.0.0.1:{port}", "-hook-stdio-format", "json"]
    (tmp_path / "rtmpd.ini").write_text(f"[http]\nsocket = {tmp_path}/control.sock\n")
    command += ["-c", str(tmp_path / "rtmpd.ini")]
    out, log = tmp_path / "out", tmp_path / "log"
    with out.open("wb") as stdout, log.open("wb") as stderr:
        daemon = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=REPOSITORY, preexec_fn=limited)
    crowd: list[socket.socket] = []
    try:
        wait_until(lambda: is_listening(port) or daemon.poll() is not None, "rtmpd listens", 20)
        for _ in range(2 * FILES):
            crowd.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            crowd[-1].sendall(handshake_bytes())
        wait_until(lambda: "EMFILE" in log.read_text(), "the descriptors are used up")
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            control.connect(str(tmp_path / "control.sock"))
            control.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert control.recv(65536).startswith(b"HTTP/1.1 503 "), "whoever looks for the reason gets in"
        for sock in crowd:
            sock.close()
        crowd.clear()
        publisher = Client(Address("127.0.0.1", port))
        publisher.publish()
        publisher.close()
        wait_until(lambda: b'"publish_stop"' in out.read_bytes(), "the publish is told")
        lines = log.read_text().splitlines()
        assert len([line for line in lines if "cannot accept connections" in line]) == 1
        assert len([line for line in lines if "connections are accepted again" in line]) == 1
        assert "Traceback" not in log.read_text()
        accepts = [json.loads(line[12:]) for line in out.read_bytes().splitlines() if b"connection_accept" in line]
        assert len(accepts) > 10
    finally:
        for sock in crowd:
            sock.close()
        daemon.terminate()
        assert daemon.wait(20) == 0
