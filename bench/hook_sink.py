"""A webhook receiver that is much lighter than what it measures: HTTP/1.1 kept alive, every event checked.

``POST /slow/MS`` is answered after so many milliseconds, ``POST /flaky/PERCENT`` so often with 503 and not taken, any
other POST at once; ``GET`` gives the figures as JSON. It
is a program of its own: it says its port on the first line and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys

from .hook_check import Checker

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"
SLOW = b"/slow/"
FLAKY = b"/flaky/"
SEED = 20_261_130


class Figures:
    """What all connections have seen together."""

    def __init__(self) -> None:
        self.checker = Checker()
        self.requests = self.refused = self.under_way = self.most_under_way = 0
        self.dice = random.Random(SEED)

    def as_json(self) -> bytes:
        """The figures now."""
        counts = {"requests": self.requests, "refused": self.refused, "most_under_way": self.most_under_way}
        figures = {**self.checker.figures(), **counts}
        return json.dumps(figures).encode()


class Connection(asyncio.Protocol):
    """One kept connection."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Take every request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(HEAD_END)) >= 0:
            head = self._buffer[:end]
            lowered = head.lower() + b"\r\n"
            at = lowered.find(LENGTH)
            length = int(lowered[at + len(LENGTH) : lowered.index(b"\r\n", at + 2)]) if at >= 0 else 0
            whole = end + len(HEAD_END) + length
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[whole - length : whole], self._buffer[whole:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            text = self._figures.as_json()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            return
        figures = self._figures
        figures.requests += 1
        target = head.split(b" ", 2)[1]
        if target.startswith(FLAKY) and figures.dice.random() * 100 < float(target.removeprefix(FLAKY)):
            figures.refused += 1
            self._transport.write(UNAVAILABLE)
            return
        figures.checker.take(body)
        figures.under_way += 1
        figures.most_under_way = max(figures.most_under_way, figures.under_way)
        if target.startswith(SLOW):
            delay_s = int(target.removeprefix(SLOW)) / 1000
            asyncio.get_running_loop().call_later(delay_s, self._done)
        else:
            self._done()

    def _done(self) -> None:
        self._figures.under_way -= 1
        self._transport.write(NO_CONTENT)


async def serve() -> None:
    """Serve until the standard input ends."""
    loop = asyncio.get_running_loop()
    figures = Figures()
    server = await loop.create_server(lambda: Connection(figures), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
