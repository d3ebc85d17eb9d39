"""Where events of ``scripts/bench events`` arrive: each is written down with the moment at which it came.

    python -m bench.event_sink webhook FILE    prints its port; ends when its standard input does
    python -m bench.event_sink stdio FILE      reads the daemon's standard output
    python -m bench.event_sink worker FILE     is a worker of the daemon

A line of FILE is the time in milliseconds (Unix), the id of the event or ``-``, and the hash of its body.
"""

from __future__ import annotations

import hashlib
import http.server
import os
import sys
import threading
import time
from typing import TextIO

PREFIX = b"RTMP_EVENT: "


def _write(out: TextIO, id: str, body: bytes) -> None:
    out.write(f"{time.time() * 1000:.3f} {id} {hashlib.sha1(body, usedforsecurity=False).hexdigest()}\n")


def stdio(out: TextIO) -> None:
    """Lines with the prefix; they have no id."""
    for line in sys.stdin.buffer:
        if line.startswith(PREFIX):
            _write(out, "-", line[len(PREFIX) :].rstrip(b"\n"))


def worker(out: TextIO) -> None:
    """Lines of the worker protocol, acknowledged at once."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # it has inherited the daemon's
    for line in sys.stdin.buffer:
        head, _, body = line.rstrip(b"\n").partition(b',"event":')
        id = head[7:37].decode()
        _write(out, id, body[:-1])
        print(f"ack {id}", flush=True)


def webhook(out: TextIO) -> None:
    """POSTs, answered at once."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            _write(out, self.headers["X-RTMP-Event-Id"], body)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    with open(sys.argv[2], "w", encoding="ascii", buffering=1) as file:
        {"stdio": stdio, "worker": worker, "webhook": webhook}[sys.argv[1]](file)
