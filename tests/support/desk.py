"""A front with an API made of fakes, and clients that say exactly what they are told to."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent

from rtmpd.event.event import Event
from rtmpd.http.api import Api, Facts, Page, Refused
from rtmpd.http.front import Front
from rtmpd.http.tail import Offer, Tail
from rtmpd.settings import Address
from rtmpd.settings.http import ApiSettings

TOKEN = "0123456789abcdef-token"
PUBLISHER = {
    "conn_id": "c000001",
    "session_id": "s1",
    "address": "192.0.2.1",
    "age_s": 10.0,
    "video_codec": "H264",
    "audio_codec": "AAC",
    "video_packets": 250,
    "audio_packets": 430,
    "total_bytes": 1_250_000,
    "stalled_s": 0.0,
}
STREAM = {
    "key": "live/a",
    "app": "live",
    "name": "a",
    "live": True,
    "age_s": 12.0,
    "players": 1,
    "publisher": PUBLISHER,
}
PLAYER = {
    "conn_id": "c000002",
    "session_id": "s2",
    "address": "192.0.2.2",
    "age_s": 5.0,
    "bytes_sent": 1000,
    "frames_dropped": 3,
    "backlog_frames": 0,
    "paused": False,
}


FAULT = {
    "fault": "hook_held_up",
    "subject": "ops",
    "message": "its lane is tripped",
    "severity": "warning",
    "meaning": "the endpoint of a hook fails",
    "advice": "rtmpctl hooks show HOOK, then rtmpctl hooks test HOOK",
}


def connection(number: int) -> Facts:
    return {
        "conn_id": f"c{number:06d}",
        "address": "192.0.2.1",
        "port": 50000 + number,
        "app": "live",
        "role": "publisher",
        "stream_key": "live/a",
        "phase": "media_processing",
        "flash_ver": "x\x1b[2J",
        "tls": False,
        "age_s": 3.0,
        "bytes_received": 10,
        "bytes_sent": 20,
        "backlogged": False,
    }


class Hooks:
    """A HookControl with one hook, ``ops``; ``told`` holds what was asked of it."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.delivers = True
        self.state = "active"

    def _known(self, hook_id: str) -> None:
        if hook_id != "ops":
            raise KeyError(hook_id)

    def list(self) -> list[Facts]:
        ops = {"id": "ops", "type": "webhook", "state": self.state, "executed": 5, "dead": {"refused": 2}}
        return [ops | {"paused_by": "operator", "retry_in_sec": 71.2, "oldest_sec": 3661.0}]

    def show(self, hook_id: str) -> Facts:
        self._known(hook_id)
        return self.list()[0]

    def test(self, hook_id: str, event_type: str) -> Facts:
        self._known(hook_id)
        return {"hook_id": hook_id, "event_type": event_type, "delivered": self.delivers}

    def pause(self, hook_id: str) -> None:
        self._known(hook_id)
        self.told.append(("pause", hook_id))

    def resume(self, hook_id: str) -> None:
        self._known(hook_id)
        self.told.append(("resume", hook_id))

    def why(self, event_id: str) -> Facts:
        if event_id != "evt_1":
            raise KeyError(event_id)
        error = "server returned status 503"
        tried = {"outcome": "failed", "code": "status:503", "error": error, "at": 1_700_000_000.5}
        event = {"type": "play_start", "stream_key": "live/a", "conn_id": "", "data": {}}
        hook = {"hook_id": "ops", "state": "dead: attempts", "attempts": [tried], "would_send": {"body": "all of it"}}
        return {"event_id": event_id, "event": event, "hooks": [hook]}

    def attempts(self, hook_id: str, event_id: str, limit: int) -> list[Facts]:
        self._known(hook_id)
        return [{"number": 1, "outcome": "status:503"}][:limit]

    def dead_letters(self, hook_id: str, after: int, limit: int) -> list[Facts]:
        self._known(hook_id or "ops")
        return [{"number": n, "hook_id": "ops", "reason": "attempts"} for n in range(after + 1, 4)][:limit]

    def dead_letter(self, number: int) -> Facts:
        if number > 3:
            raise KeyError(number)
        return {"number": number, "event": {"type": "publish_start"}}

    def replay_dead(self, hook_id: str, numbers: list[int] | None) -> Iterator[Facts]:
        self._known(hook_id or "ops")
        self.told.append(("replay_dead", hook_id, numbers))
        return iter([{"replayed": 1, "total": 2}, {"replayed": 2, "total": 2}])

    def purge_dead(self, hook_id: str, numbers: list[int] | None) -> Iterator[Facts]:
        self.told.append(("purge_dead", hook_id, numbers))
        yield {"purged": 1}
        raise Refused("the disk is full")

    def replay(self, hook_id: str, *, event_ids: Any, since: Any, until: Any) -> Iterator[Facts]:
        self._known(hook_id)
        self.told.append(("replay", hook_id, event_ids, since, until))
        yield {"replayed": 1}


class Config:
    """A ConfigControl; ``problems`` make the files unusable."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.text = "[log]\nlevel = info\n"
        self.changes = ""

    def show(self) -> Facts:
        return {"text": self.text}

    def diff(self) -> Facts:
        return {"ok": not self.problems, "problems": self.problems, "text": self.changes}

    def test(self) -> Facts:
        return {"ok": not self.problems, "problems": self.problems, "warnings": ["odd"]}

    def reload(self) -> Facts:
        changed = [] if self.problems else ["hooks"]
        return {"ok": not self.problems, "problems": self.problems, "warnings": [], "changed": changed,
                "restart": ["server"]}  # fmt: skip


class Log:
    """A LogControl."""

    def __init__(self) -> None:
        self.now = "info"
        self.reopened = 0

    def level(self) -> str:
        return self.now

    def set_level(self, level: str) -> None:
        self.now = level

    def reopen(self) -> None:
        self.reopened += 1


class Tokens:
    """A TokenControl."""

    def issue(self, action: str, app: str, name: str, ttl_s: float) -> Facts:
        if app != "live":
            raise Refused("there is no signing key")
        return {"token": "key", "app": app, "name": name, "action": action, "expires": int(ttl_s)}

    def check(self, token: str, action: str, app: str, name: str) -> Facts:
        return {"allowed": token == "key", "reason": "" if token == "key" else "bad signature", "identity": ""}


class Desk:
    """A running front over fakes. ``path`` is its control socket, ``port`` that of its TCP listener."""

    def __init__(self, home: Path, listen: str = "127.0.0.1", token: bool = True, **settings: Any) -> None:
        self.hooks, self.config, self.log = Hooks(), Config(), Log()
        self.offers: list[Offer] = []
        self.reasons: list[str] = []
        self.lag_ms = 0.5
        self.connections = 3
        self.kicked: list[tuple[str, ...]] = []
        self.status = "healthy"
        self.dropped = self.dead = 0
        self.uid, self.descriptors, self.open = 1000, 65536, list[str]()
        self.path = str(home / "control.sock")
        token_file = home / "tokens"
        token_file.write_text(f"# tokens\nshort\n{TOKEN}\n")
        self.token_file = token_file
        given = {"request_timeout_s": 0.5, "send_timeout_s": 1.0, **settings}
        self.settings = ApiSettings(
            listen=(Address(listen, 0),), socket=self.path, token_file=str(token_file) if token else "", **given
        )
        self.front = Front(self.settings, self._api())
        self.places = self.front.start()
        self.port = int(self.places[0].rpartition(":")[2])
        self._sockets: list[socket.socket] = []

    def _api(self) -> Api:
        return Api(
            server=self._server,
            streams=lambda after, limit: Page([STREAM] if after < "live/a" else [], 1),
            stream=self._stream,
            connections=self._connections,
            connection=self._connection,
            kick=lambda conn_id: self._kick(conn_id),
            kick_stream=lambda key, role: self._kick(key, role),
            ready=lambda: self.reasons,
            hub_lag_ms=lambda: self.lag_ms,
            health=lambda: {
                "hook_manager_status": self.status,
                "active_hooks": 1,
                "failed_deliveries": 0,
                "last_event_time": None,
                "status": self.status,
                "faults": [] if self.status == "healthy" else [FAULT],
                "hooks_held_up": [] if self.status == "healthy" else ["ops"],
                "last_reload": "",
                "queued_events": 3,
                "dropped_events": self.dropped,
                "dead_letters": self.dead,
            },
            metrics=lambda openmetrics: b"rtmp_ingest_bytes_per_second 125000\n# EOF\n" if openmetrics else (
                b"rtmp_ingest_bytes_per_second 125000\n"
            ),
            hooks=self.hooks,
            tail=Tail(self._subscribe, self.settings.event_listeners, self.settings.event_queue),
            config=self.config,
            log=self.log,
            tokens=Tokens(),
        )

    def _server(self) -> Facts:
        return {"version": "9", "accelerated": False, "pid": os.getpid(), "uptime_s": 3700.0,
                "listen": ["rtmp://:1935"], "draining": False,
                "connections": self.connections, "streams": 1, "publishers": 1, "players": 1,
                "recordings": 1, "recordings_failed": 0, "relays": 2, "relays_connected": 1, "uid": self.uid,
                "descriptors": self.descriptors, "connections_limit": 1000, "open_to_publish": self.open,
                "public": ["0.0.0.0:1935"]}  # fmt: skip

    def _stream(self, key: str) -> Facts:
        if key != "live/a":
            raise KeyError(key)
        return {**STREAM, "playing": [PLAYER], "recordings": [], "relays": []}

    def _connections(self, after: str, limit: int) -> Page:
        numbers = range(int(after[1:]) + 1 if after[1:].isdecimal() else 1, self.connections + 1)
        chosen = [connection(number) for number in numbers][:limit]
        return Page(chosen, self.connections, chosen[-1]["conn_id"] if len(numbers) > limit else "")

    def _connection(self, conn_id: str) -> Facts:
        if conn_id != "c000001":
            raise KeyError(conn_id)
        return connection(1)

    def _kick(self, *target: str) -> list[str]:
        if target[0] not in ("c000001", "live/a"):
            raise KeyError(target[0])
        self.kicked.append(target)
        return ["c000001"]

    def _subscribe(self, offer: Offer) -> Callable[[], None]:
        self.offers.append(offer)
        return lambda: self.offers.remove(offer)

    def emit(self, type: str, stream_key: str = "live/a", **data: object) -> None:
        """Have an event offered to whoever listens."""
        for offer in list(self.offers):
            offer(Event(type, 1700000000, "c000001", stream_key, data, "evt_1", 7, "info"))

    # --- clients --------------------------------------------------------------------------------

    def connect(self, unix: bool = False) -> socket.socket:
        """A connection that ``close`` closes."""
        sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        sock.settimeout(5)
        sock.connect(self.path if unix else ("127.0.0.1", self.port))
        self._sockets.append(sock)
        return sock

    def send(self, data: bytes, unix: bool = False) -> bytes:
        """What is answered to these bytes, up to the end of the connection."""
        sock = self.connect(unix)
        sock.sendall(data)
        return rest(sock)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        unix: bool = True,
        token: str = "",
    ) -> tuple[int, Any]:
        """The status and the JSON document of an answer."""
        lines = {"Host": "localhost", "Connection": "close", **(headers or {})}
        if token:
            lines["Authorization"] = f"Bearer {token}"
        data = b""
        if body is not None:
            data = json.dumps(body).encode()
            lines = {"Content-Type": "application/json", "Content-Length": str(len(data)), **lines}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        answer = self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data, unix)
        return status_of(answer), document_of(answer)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self.front.stop()
        gevent.sleep(0)


def rest(sock: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def headers_of(answer: bytes) -> dict[str, str]:
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def body_of(answer: bytes) -> bytes:
    """The body, out of its chunks."""
    body = answer.partition(b"\r\n\r\n")[2]
    if headers_of(answer).get("transfer-encoding") != "chunked":
        return body
    pieces = []
    while True:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            assert body == b"\r\n", "the last chunk ends the answer"
            return b"".join(pieces)
        pieces.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]


def document_of(answer: bytes) -> Any:
    text = body_of(answer)
    return json.loads(text) if text.startswith(b"{") and text.count(b"\n") == 1 else text
