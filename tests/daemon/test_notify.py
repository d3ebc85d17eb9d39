"""What systemd hears, on a real datagram socket; and who else waits for the start."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent import socket

from rtmpd.daemon.notify import Notifier
from rtmpd.daemon.service import Service


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + name[1:] if name.startswith("@") else name)
        self.sock.settimeout(8)

    def hears(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())

    def hears_nothing(self) -> bool:
        self.sock.setblocking(False)
        try:
            self.sock.recv(4096)
        except BlockingIOError:
            return True
        return False


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@rtmpd-test-{os.getpid()}-{tmp_path.name}"
    made = Manager(name)
    yield made
    made.sock.close()


def test_each_step_of_a_life_is_told(manager: Manager) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.name})
    notifier.ready("2 connections\n1 stream")
    assert manager.hears() == {"READY": "1", "MAINPID": str(os.getpid()), "STATUS": "2 connections 1 stream"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    heard = manager.hears()
    assert heard["RELOADING"] == "1"
    assert before <= int(heard["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.stopping("bye")
    assert manager.hears() == {"STOPPING": "1", "STATUS": "bye"}


def test_the_socket_is_kept_from_children(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1", "HOME": "/"}
    Notifier(environ)
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    ("usec", "pid", "period_s"),
    [("10000000", str(os.getpid()), 5.0), ("3000000", "", 1.5), ("10000000", "1", 0.0), ("", "", 0.0), ("x", "", 0.0)],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_wants(usec: str, pid: str, period_s: float, tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid})
    assert notifier.watchdog_s == period_s


def test_without_a_manager_nothing_is_sent_and_without_its_socket_nothing_breaks(tmp_path: Path) -> None:
    Notifier({}).ready("x")
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    notifier.ready("x")
    notifier.alive("x")


def test_the_watchdog_is_fed_while_the_hub_turns_and_not_while_it_hangs(manager: Manager) -> None:
    status = "first"
    service = Service(notifier=Notifier({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "40000"}))
    service.ready(lambda: status)
    assert manager.hears()["READY"] == "1"
    status = "second"
    assert manager.hears() == {"WATCHDOG": "1", "STATUS": "second"}
    while not manager.hears_nothing():
        pass
    time_to_hang_s = 0.1
    end = time.monotonic() + time_to_hang_s
    while time.monotonic() < end:
        pass  # a greenlet that hogs the hub
    assert manager.hears_nothing()
    manager.sock.settimeout(8)
    service.reloading()
    heard = [manager.hears()]
    service.reloaded()
    service.stopping()
    while "STOPPING" not in heard[-1]:
        heard.append(manager.hears())
    steps = [next(iter(one)) for one in heard if "WATCHDOG" not in one]
    assert steps == ["RELOADING", "READY", "STOPPING"]
    service.close()
    gevent.sleep(0)
    while not manager.hears_nothing():
        pass
    assert service._watch is None
