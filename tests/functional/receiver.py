"""An HTTP endpoint that webhooks are sent to."""

from __future__ import annotations

import http.server
import threading
from dataclasses import dataclass, field
from types import TracebackType

from tests.functional.child import ErrorType


@dataclass(frozen=True)
class Post:
    """One request as it came. ``path`` holds the query."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Keeps every POST and answers it with ``status``; with ``hang`` it answers none until the end."""

    status: int = 200
    hang: bool = False
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
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
