"""One connection: requests and their answers, one after the other.

Every wait has an end: the first byte of the first request and all of each request have ``request_timeout_s``, a
connection that is kept may be idle for as long, and each piece of an answer has ``send_timeout_s``. A request that came
before the last one was answered is not read: the connection is closed after the answer, so nothing that hides in
a body can become a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final

import gevent
from gevent.hub import get_hub
from werkzeug.exceptions import HTTPException

from ..errors import ConnectionLost
from ..log import logger
from ..net.transport import Transport
from ..settings.http import ApiSettings
from .guard import Peer
from .request import Reading, Request
from .response import HttpError, Response, Takeover, Upgrade, phrase, problem_of

_log = logger("http")

_LINGER_S: Final = 1.0
_LINGER_BYTES: Final = 256 * 1024
_PIECE_BYTES: Final = 65536
_FRAMING: Final = frozenset(("content-length", "transfer-encoding"))
_BODILESS: Final = frozenset((101, 204, 304))
_DEFAULTS: Final = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))

Handle = Callable[[Request, Peer], Response]


@dataclass(slots=True)
class Service:
    """The current configuration of a listener. ``is_closing``: no connection is kept any more."""

    settings: ApiSettings
    handle: Handle
    is_closing: bool = False


class Gone(Exception):
    """The client left before its request was complete, so it gets no answer."""


class Channel:
    """A transport as a socket that waits, with a time-out for each call. May switch greenlets. Raises OSError."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._timeout_s: float | None = None
        self._rest = b""

    def settimeout(self, seconds: float | None) -> None:
        """Let each call take this long from now on; None: as long as it takes."""
        self._timeout_s = seconds

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes, ``b""`` at the end."""
        if not self._rest:
            try:
                with gevent.Timeout(self._timeout_s, TimeoutError("nothing was received in time")):
                    self._rest = self.transport.recv()
            except ConnectionLost as lost:
                raise ConnectionResetError(str(lost)) from None
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``."""
        with gevent.Timeout(self._timeout_s, TimeoutError("the client took nothing in time")):
            left = memoryview(data)
            while left:
                try:
                    left = left[self.transport.send_now(left) :]  # type: ignore[arg-type]
                except BlockingIOError:
                    self._wait()
            while not self.transport.flush():
                self._wait()

    def _wait(self) -> None:
        """Wait until the socket takes bytes."""
        watcher = self.transport.writable_watcher()
        try:
            get_hub().wait(watcher)
        finally:
            watcher.close()

    def shutdown_writing(self) -> None:
        """End our direction. Never raises."""
        self.transport.shutdown_writing()


class Exchange:
    """The requests of one connection. ``idle_since`` is the monotonic time since when it waits for another request, 0.0
    while it is busy: an idle connection may be closed at any time."""

    def __init__(self, service: Service, peer: Peer) -> None:
        self._sock: Channel
        self._service = service
        self._peer = peer
        self.idle_since = 0.0

    def run(self, sock: Channel) -> None:
        """Answer until the client leaves or the connection is not kept. May switch greenlets. Raises OSError."""
        self._sock = sock
        is_first = True
        while True:
            reading = Reading(self._service.settings.body_bytes)
            request = None
            try:
                if not self._receive(reading, is_first):
                    return
                request = reading.request
                response = self._answer(request)
            except Gone:
                return
            except HTTPException as error:
                response = problem_of(error).get_response()
                keeps = request is not None
            else:
                keeps = True
            is_first = False
            keeps = keeps and reading.keeps_alive and not (reading.is_followed or reading.wants_upgrade)
            if isinstance(response, Takeover):
                self._hand_over(response, reading)
                return
            if not self._send(response, request, keeps and not self._service.is_closing):
                self._linger()
                return

    # --- reading --------------------------------------------------------------------------------

    def _receive(self, reading: Reading, is_first: bool) -> bool:
        """Read one request; whether there is one. Raises HttpError, and Gone if the client left in the middle."""
        timeout_s = self._service.settings.request_timeout_s
        deadline = time.monotonic() + timeout_s
        if not is_first:
            self.idle_since = time.monotonic()
        try:
            while not reading.is_complete:
                had_head = reading.has_head
                try:
                    self._sock.settimeout(max(0.001, deadline - time.monotonic()))
                    data = self._sock.recv(reading.wanted_bytes)
                except TimeoutError:
                    if not is_first and not reading.is_begun:
                        return False
                    raise HttpError(408, f"the request was not complete within {timeout_s:g} s") from None
                if not data:
                    if reading.is_begun:
                        raise Gone
                    return False
                if self.idle_since:
                    self.idle_since = 0.0
                    deadline = time.monotonic() + timeout_s
                reading.feed(data)
                if reading.has_head and not had_head and not reading.is_complete and reading.expectation:
                    self._expect(reading.expectation)
        finally:
            self.idle_since = 0.0
        return True

    def _expect(self, expectation: str) -> None:
        if expectation.lower() != "100-continue":
            raise HttpError(417, "the only supported expectation is 100-continue")
        self._sock.settimeout(self._service.settings.send_timeout_s)
        self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _answer(self, request: Request) -> Response:
        try:
            return self._service.handle(request, self._peer)
        except HTTPException:
            raise
        except Exception:  # noqa: BLE001  a bug of ours is an answer too
            _log.exception("request failed because of a bug", method=request.method, path=request.raw_path)
            raise HttpError(500, "an error in rtmpd; its log has the traceback") from None

    # --- sending --------------------------------------------------------------------------------

    def _send(self, response: Response, request: Request | None, keeps: bool) -> bool:
        """Send an answer; whether the connection can be kept. Raises OSError."""
        self._sock.settimeout(self._service.settings.send_timeout_s)
        try:
            has_body = response.status_code not in _BODILESS
            wants_body = has_body and (request is None or request.method != "HEAD")
            if not has_body:
                self._sock.sendall(_head(response, [], keeps))
                return keeps
            if response.is_sequence:
                body = b"".join(response.iter_encoded())
                head = _head(response, [("Content-Length", str(len(body)))], keeps)
                self._sock.sendall(head + body if wants_body else head)
                return keeps
            return self._send_pieces(response, request, keeps, wants_body)
        finally:
            response.close()

    def _send_pieces(self, response: Response, request: Request | None, keeps: bool, wants_body: bool) -> bool:
        """An answer whose end is marked by its length, by chunks, or, for HTTP/1.0, by the end of the connection."""
        length = response.headers.get("Content-Length", type=int)
        chunked = length is None and request is not None and not request.is_1_0
        if length is None and not chunked:
            keeps = False
        framing = [("Transfer-Encoding", "chunked")] if chunked else []
        if length is not None:
            framing = [("Content-Length", str(length))]
        self._sock.sendall(_head(response, framing, keeps))
        if not wants_body:
            return keeps
        sent = self._send_each(response.iter_encoded(), chunked)
        if chunked:
            self._sock.sendall(b"0\r\n\r\n")
        return keeps and (length is None or sent == length)

    def _send_each(self, pieces: Iterable[bytes], chunked: bool) -> int:
        sent = 0
        for piece in pieces:
            if piece:
                sent += len(piece)
                self._sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        return sent

    def _hand_over(self, response: Takeover, reading: Reading) -> None:
        self._sock.settimeout(self._service.settings.send_timeout_s)
        self._sock.sendall(_head(response, [], keeps=isinstance(response, Upgrade)))
        self._sock.settimeout(None)
        response.take(self._sock, reading.rest)

    def _linger(self) -> None:
        """Let the answer arrive: closing over unread bytes would reset the connection and lose it."""
        self._sock.shutdown_writing()
        gevent.with_timeout(_LINGER_S, self._drain, timeout_value=None)

    def _drain(self) -> None:
        for _ in range(_LINGER_BYTES // _PIECE_BYTES):
            if not self._sock.recv(_PIECE_BYTES):
                return


def _head(response: Response, framing: list[tuple[str, str]], keeps: bool) -> bytes:
    """Status line and headers. ``framing`` alone says where the body ends."""
    status = response.status_code
    headers = [(name, value) for name, value in response.headers if name.lower() not in _FRAMING]
    said = {name.lower() for name, _ in headers}
    headers += framing
    if "cache-control" in said and "date" not in said:
        headers.append(("Date", _date(int(time.time()))))  # what may be kept is as old as that
    headers += [(name, value) for name, value in _DEFAULTS if name.lower() not in said]
    if not keeps:
        headers.append(("Connection", "close"))
    lines = [f"HTTP/1.1 {status} {phrase(status)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


_said_date = (0, "")


def _date(now: int) -> str:
    """The time as RFC 9110, 5.6.7 writes it, made once a second."""
    global _said_date
    if _said_date[0] != now:
        _said_date = now, formatdate(now, usegmt=True)
    return _said_date[1]


def refused(status: int, detail: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return a whole answer for a connection that is refused at once."""
    response = HttpError(status, detail, headers).get_response()
    body = response.get_data()
    return _head(response, [("Content-Length", str(len(body)))], keeps=False) + body
