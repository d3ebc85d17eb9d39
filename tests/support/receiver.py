"""A webhook receiver: a raw HTTP/1.1 server whose every byte the test decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

import gevent
from gevent.server import StreamServer
from gevent.socket import socket

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Request:
    head: str
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


@dataclass
class Receiver:
    """``answer(sock, request)`` sends what it likes and says whether the connection is kept."""

    answer: Callable[[socket, Request], bool]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    def serve(self, sock: socket, address: object) -> None:
        self.connections += 1
        reader = sock.makefile("rb")
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = reader.readline()
                if not line:
                    return
                head += line
            request = Request(head.decode().removesuffix("\r\n\r\n"), b"")
            request.body = reader.read(int(request.headers.get("content-length", 0)))
            self.requests.append(request)
            if not self.answer(sock, request):
                return


def says(answer: bytes) -> Callable[[socket, Request], bool]:
    def send(sock: socket, request: Request) -> bool:
        sock.sendall(answer)
        return True

    return send


def status(line: str) -> Callable[[socket, Request], bool]:
    return says(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode())


def hangs(sock: socket, request: Request) -> bool:
    gevent.sleep(3600)
    return False


@contextmanager
def receiving(
    answer: Callable[[socket, Request], bool], tls: SSLContext | None = None
) -> Iterator[Receiver]:
    receiver = Receiver(answer)
    server = StreamServer(("127.0.0.1", 0), receiver.serve, **({"ssl_context": tls} if tls else {}))
    server.start()
    receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}/hook?token=secret"
    try:
        yield receiver
    finally:
        server.stop(timeout=0)
