"""A StatsD server that only listens and parses, and a log that only keeps."""

from __future__ import annotations

import re
import socket

import gevent

from rtmpd.metrics.registry import Registry

LINE = re.compile(
    r"(?P<path>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*):(?P<value>-?\d+(?:\.\d+)?(?:e-?\d+)?)\|(?P<kind>c|g|ms)"
)


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def warning(self, message: str, /, **fields: object) -> None:
        self.lines.append((message, fields))

    exception = warning


def registry() -> Registry:
    return Registry(Log())


class FakeStatsd:
    """Every line that came, parsed; one that is not StatsD's format fails the test that reads it."""

    def __init__(self, protocol: str = "udp", port: int = 0) -> None:
        self.packets: list[bytes] = []
        self._tcp = protocol == "tcp"
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if self._tcp else socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", port))
        self.port: int = self._sock.getsockname()[1]
        if self._tcp:
            self._sock.listen()
        self._greenlet = gevent.spawn(self._accept if self._tcp else self._receive)

    def _receive(self) -> None:
        while True:
            self.packets.append(self._sock.recv(65536))

    def _accept(self) -> None:
        while True:
            client, _ = self._sock.accept()
            with client:
                while data := client.recv(65536):
                    self.packets.append(data)

    def close(self) -> None:
        self._greenlet.kill()
        self._sock.close()

    @property
    def lines(self) -> list[tuple[str, float, str]]:
        """Path, value and kind of each line."""
        text = b"".join(self.packets) if self._tcp else b"\n".join(self.packets)
        found = [LINE.fullmatch(line) for line in text.decode("ascii").splitlines()]
        assert all(found), text
        return [(match["path"], float(match["value"]), match["kind"]) for match in found if match]

    def values(self, path: str) -> list[float]:
        """The values of one path, in the order in which they came."""
        return [value for each, value, _ in self.lines if each == path]
