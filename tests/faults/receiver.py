"""A process that takes webhooks and writes each down before it answers: ``python -m tests.faults.receiver DIR``.

Signatures are checked with the reference libraries. ``POST /mode`` sets how a hook's requests are answered: a name of
``ANSWERS``, ``flaky`` or ``slow``, and how many requests that is for, after which all is well again.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from standardwebhooks import Webhook, WebhookVerificationError

from .ledger import AUDIENCE, DELIVERED, TOKEN_SECRET, WEBHOOK_SECRET, Ledger, Line, digest

OLD_DATE = "Tue, 14 Nov 2023 22:00:00 GMT"
#: Every kind of Retry-After that does not hold a lane for long.
RETRY_AFTER = {"0": "0", "fraction": "0.05", "past": OLD_DATE, "negative": "-5", "text": "soon", "empty": "",
               "list": "3600, 7200", "digits": "9" * 300, "one": "1"}

_webhook = Webhook(WEBHOOK_SECRET)


class Taker(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.strip("/").split("/")[-1]
        if name == "mode":
            self.server.set_mode(**json.loads(body))
            self.say(204)
            return
        if name == "may":  # an access callback
            self.say(200)
            return
        status, act = self.server.next_answer(name)
        self.server.note(self.notes(name, body, status))
        with contextlib.suppress(OSError):
            act(self)

    def notes(self, name: str, body: bytes, status: int) -> list[Line]:
        """A line for each event of the request."""
        headers = self.headers
        common = {
            "hook": name,
            "attempt": int(headers.get("X-RTMP-Attempt", 1)),
            "doubt": headers.get("X-RTMP-Redelivered", ""),
            "bad": why_bad(headers, body),
            "status": status,
            "mono": time.monotonic(),
            "at": time.time(),
        }
        event = json.loads(body)
        if "X-RTMP-Batch-Id" in headers:
            return [
                common
                | {"id": each["id"], "seq": each["seq"], "type": each["type"], "key": key_of(each), "hash": ""}
                | {"doubt": each.get("redelivered", common["doubt"]), "attempt": each.get("attempt", 1)}
                | {"mark": each["data"].get("session_id", "")}
                for each in event["events"]
            ]
        own = {"id": headers["X-RTMP-Event-Id"], "seq": int(headers["X-RTMP-Event-Seq"]), "type": event.get("type")}
        mark = event.get("data", {}).get("session_id", "")
        return [common | own | {"key": key_of(event), "hash": digest(body), "mark": mark}]

    def say(self, status: int, **headers: str) -> None:
        self.send_response_only(status)
        for header, value in headers.items():
            self.send_header(header.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def hang_up(self) -> None:
        """End with RST, so that what was sent may be lost too."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the other side was killed, or we have hung up
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()


def key_of(event: Line) -> str:
    """What events are ordered by."""
    return str(event.get("stream_key") or event.get("conn_id") or "")


def why_bad(headers: object, body: bytes) -> str:
    """What the reference libraries say against the request, "" if nothing."""
    values = {name.lower(): value for name, value in headers.items()}  # type: ignore[attr-defined]
    try:
        _webhook.verify(body, values)
    except WebhookVerificationError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  a body that is not JSON, after the signature was found right
        if not isinstance(error, ValueError):
            return repr(error)
    try:
        token = values.get("authorization", "").removeprefix("Bearer ")
        jwt.decode(token, TOKEN_SECRET, ["HS256"], audience=AUDIENCE, options={"require": ["exp", "iat", "jti"]})
    except jwt.PyJWTError as error:
        return f"token: {error}"
    return ""


# --- answers --------------------------------------------------------------------------------------

Act = Callable[[Taker], None]


def plain(status: int, **headers: str) -> tuple[int, Act]:
    return status, lambda taker: taker.say(status, **headers)


def _reset_after_200(taker: Taker) -> None:
    taker.say(200)
    time.sleep(0.005)
    taker.hang_up()


def _reset_in_body(taker: Taker) -> None:
    taker.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of i")
    time.sleep(0.005)
    taker.hang_up()


def _shut(taker: Taker) -> None:
    taker.close_connection = True


def _hang(taker: Taker) -> None:
    taker.connection.recv(1)  # until the other side has had enough
    taker.close_connection = True


def _drip(taker: Taker) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":
        taker.wfile.write(bytes([byte]))
        time.sleep(1.0)


def _garbage(taker: Taker) -> None:
    taker.wfile.write(b"\x00\xff what?\r\n\r\n")
    taker.close_connection = True


def _endless(taker: Taker) -> None:
    taker.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        taker.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def _long_head(taker: Taker) -> None:
    taker.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * (1 << 20) + b"\r\n\r\n")
    taker.close_connection = True


#: What is answered, and the status of that; 0 where there is no whole head of an answer, for a head settles the event.
ANSWERS: dict[str, tuple[int, Act]] = {
    "ok": plain(204),
    **{str(status): plain(status) for status in (400, 401, 403, 404, 408, 410, 413, 425, 429, 500, 503)},
    "301": plain(301, Location="/elsewhere"),
    **{f"429-{name}": plain(429, Retry_After=value) for name, value in RETRY_AFTER.items()},
    "200-reset": (200, _reset_after_200),
    "reset-in-body": (200, _reset_in_body),
    "reset": (0, lambda taker: taker.hang_up()),
    "shut": (0, _shut),
    "hang": (0, _hang),
    "drip": (0, _drip),
    "garbage": (0, _garbage),
    "endless": (200, _endless),
    "long-head": (0, _long_head),
}
FLAKY = ("503", "shut", "reset", "200-reset", "reset-in-body", "429-0", "500")


class Receiver(ThreadingHTTPServer):
    """Listens on a port of its own."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self._ledger = Ledger(folder / DELIVERED)
        self._lock = threading.Lock()
        self._modes: dict[str, tuple[str, int]] = {}
        self._random = random.Random(seed)

    def set_mode(self, hook: str, mode: str, count: int = 1 << 60) -> None:
        """``hook`` "" is all of them."""
        with self._lock:
            if not hook:
                self._modes.clear()
            self._modes[hook] = mode, count

    def next_answer(self, hook: str) -> tuple[int, Act]:
        with self._lock:
            place = hook if hook in self._modes else ""
            mode, left = self._modes.get(place, ("ok", 0))
            if left <= 0:
                mode = "ok"
            else:
                self._modes[place] = mode, left - 1
            if mode == "flaky":
                mode = self._random.choice(FLAKY) if self._random.random() < 0.15 else "ok"
        if mode == "slow":
            time.sleep(0.05)
            mode = "ok"
        return ANSWERS[mode]

    def note(self, lines: list[Line]) -> None:
        self._ledger.append(*lines)

    def handle_error(self, request: object, client_address: object) -> None:
        print("receiver:", repr(sys.exception()), file=sys.stderr, flush=True)


def main(folder: str, seed: str = "1") -> None:
    receiver = Receiver(Path(folder), int(seed))
    print(receiver.server_address[1], flush=True)
    receiver.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
