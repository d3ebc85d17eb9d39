"""An HTTP endpoint that webhooks are sent to."""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tests import contract
from tests.support.child import ErrorType

JSON_TYPES = ("application/json", "application/json; charset=utf-8")


@dataclass(frozen=True)
class Post:
    """One request as it came. ``path`` holds the query."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Keeps every POST and answers it with ``status``; with ``hang`` it answers none until the end. Without ``port`` it
    takes a free one."""

    status: int = 200
    hang: bool = False
    port: int = 0
    posts: list[Post] = field(default_factory=list)

    def __post_init__(self) -> None:
        posts, released = self.posts, threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.append(Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                if receiver.hang:
                    released.wait()
                    return
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        self._released = released
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, kind: ErrorType, error: BaseException | None, trace: TracebackType | None) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        if kind is None:
            faults = contract.faults(self.events())
            assert not faults, "\n".join(faults)

    def events(self) -> list[dict[str, Any]]:
        """Of every POST that is an event as rtmpd writes it (schema 1 or 2, alone or in a batch)."""
        bodies = [json.loads(post.body) for post in self.posts if post.headers.get("content-type") in JSON_TYPES]
        return [event for body in bodies for event in body.get("events", [body]) if "type" in event]
