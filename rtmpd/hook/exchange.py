"""One HTTP/1.1 request and its answer over one connection.

The answer is the first head that is not interim (RFC 9110, 15.2). The head settles the exchange; the body is read as
far as it is ``Wanted``, within ``BODY_S``, or skipped later, before the next request. An answer belongs to a request
only by its place on the connection: a connection on which anything is left that was not asked for, or whose framing is
doubtful (RFC 9112, 6.3), is not reusable.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import gevent
from gevent.hub import get_hub

from ..errors import ConnectionLost, PeerError
from ..net.transport import Transport

MAX_INTERIM: Final = 32
MAX_HEAD_BYTES: Final = 256 * 1024
MAX_SKIPPED_BYTES: Final = 64 * 1024
#: How long a body that is wanted is waited for after its head.
BODY_S: Final = 5.0
#: How long the rest of a body that nobody wants is waited for before the next request.
REST_S: Final = 0.1
IDLE_S: Final = 60.0

_MAX_LINE_BYTES: Final = 8192
_MAX_PARSES: Final = 16
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_KEEP_ALIVE: Final = re.compile(r"timeout=(\d{1,6})\b", re.ASCII)
_SWITCHING_PROTOCOLS: Final = 101

_UNTIL_CLOSE: Final = -1
_CHUNKED: Final = -2


class NoAnswer(OSError):
    """The request got no answer, or one that cannot be trusted. ``strerror`` holds no secret, ``code`` is a short
    word or the name of an errno."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.strerror = message
        self.code = code


class Stale(Exception):
    """A kept connection was closed without a byte of an answer."""


class Wanted(NamedTuple):
    """How much of a body is read: up to ``size`` bytes, of a 2xx answer or ``of_errors`` too."""

    size: int
    of_errors: bool = False


NOTHING: Final = Wanted(0)


class Answer(NamedTuple):
    """``headers`` has its names in lower case. ``body`` is what was wanted of it, as it was sent, and ``is_whole`` is
    whether that is all."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool


# --- what is answered ---------------------------------------------------------------------------


class _AnswerHead:
    """A status line and its headers. ``is_odd`` is whether something about them is not as it should be, so that nobody
    can know where the answer ends."""

    __slots__ = ("headers", "is_odd", "is_old", "length", "status")

    def __init__(self, text: bytes) -> None:
        first, *lines = text.split(b"\n")
        match = _STATUS_LINE.fullmatch(first.rstrip(b"\r"))
        if match is None:
            raise NoAnswer("the answer is not HTTP/1", "not_http")
        self.is_old = match[1] == b"0"
        self.status = int(match[2])
        self.is_odd = False
        self.headers: dict[str, str] = {}
        name = ""
        for line in lines:
            if line[:1] in (b" ", b"\t") and name:  # a folded line (RFC 9112, 5.2)
                self.headers[name] += " " + line.strip().decode("latin-1")
                continue
            raw, colon, value = line.partition(b":")
            if not colon or not raw or raw != raw.strip():
                self.is_odd = True
                continue
            name, said = raw.lower().decode("latin-1"), value.strip().decode("latin-1")
            self.headers[name] = f"{self.headers[name]}, {said}" if name in self.headers else said
        self.length = self._length()

    def _length(self) -> int:
        """The length of the body, or how its end is found (RFC 9112, 6.3)."""
        codings = self.headers.get("transfer-encoding", "").lower()
        lengths = {length.strip() for length in self.headers.get("content-length", "").split(",") if length.strip()}
        if self.status < 200 or self.status in (204, 304):
            self.is_odd |= bool(codings) or not lengths <= {"0"}
            return 0
        if codings:
            self.is_odd |= bool(lengths) or self.is_old
            return _CHUNKED if codings.rpartition(",")[2].strip() == "chunked" else _UNTIL_CLOSE
        if not lengths:
            return _UNTIL_CLOSE
        length = lengths.pop()
        if lengths or not (length.isascii() and length.isdigit() and len(length) < 16):
            self.is_odd = True
            return _UNTIL_CLOSE
        return int(length)

    @property
    def keeps(self) -> bool:
        """Return whether another request may follow on the connection."""
        options = {option.strip().lower() for option in self.headers.get("connection", "").split(",")}
        return not (self.is_odd or self.is_old or "close" in options or self.length == _UNTIL_CLOSE)


class _Body:
    """The body of an answer as it comes. The first ``wanted`` bytes are kept. ``is_done`` is whether its end has come,
    ``is_broken`` whether its chunks cannot be followed."""

    def __init__(self, length: int, wanted: int) -> None:
        self.wanted = wanted
        self.lasts_until_close = length == _UNTIL_CLOSE
        self._pieces: list[bytes] = []
        self._chunked = length == _CHUNKED
        self._left = 0 if self._chunked else length
        self._pending = b""
        self._expects = "size"
        self._size = 0
        self.kept = 0
        self.total = 0
        self.is_done = length == 0
        self.is_broken = False

    def text(self) -> bytes:
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> bytes:
        """Take what has come; what comes after the end is returned."""
        if self.is_done:
            return data
        self.total += len(data)
        if self._chunked:
            return self._feed_chunks(data)
        if self._left == _UNTIL_CLOSE:
            self._keep(data)
            return b""
        self._keep(data[: self._left])
        beyond = data[self._left :]
        self._left = max(self._left - len(data), 0)
        self.is_done = not self._left
        return beyond

    def _keep(self, data: bytes) -> None:
        if data and self.kept < self.wanted:
            self._pieces.append(data[: self.wanted - self.kept])
            self.kept += len(self._pieces[-1])
        self._size += len(data)

    @property
    def is_whole(self) -> bool:
        """Return whether its end has come, and all of it was kept."""
        return self.is_done and self.kept == self._size

    def _feed_chunks(self, data: bytes) -> bytes:
        """RFC 9112, 7.1."""
        self._pending += data
        while not (self.is_done or self.is_broken):
            if self._left:
                taken = self._pending[: self._left]
                self._keep(taken)
                self._left -= len(taken)
                self._pending = self._pending[len(taken) :]
                if self._left:
                    return b""
            line, end, rest = self._pending.partition(b"\n")
            if not end:
                self.is_broken = len(line) > _MAX_LINE_BYTES
                return b""
            self._pending = rest
            self._take_line(line.strip())
        return self._pending

    def _take_line(self, line: bytes) -> None:
        if self._expects == "size":
            match = _CHUNK_SIZE.match(line)
            if match is None:
                self.is_broken = True
                return
            self._left = int(match[0], 16)
            self._expects = "end" if self._left else "trailer"
        elif self._expects == "end":
            self.is_broken = bool(line)
            self._expects = "size"
        elif not line:
            self.is_done = True


def _says_enough(body: bytes) -> bool:
    """Whether the end of a body that has no length need not be waited for: it is a whole JSON object, or not one."""
    text = body.strip()
    if not text:
        return False
    if not text.startswith(b"{"):
        return True
    if not text.endswith(b"}"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


# --- over a connection --------------------------------------------------------------------------


class Connection:
    """One connection, with one exchange at a time. The last of ``layers`` is the one that is spoken over."""

    def __init__(self, key: object, layers: list[Transport], address: str, now: float) -> None:
        self.key = key
        self.address = address
        self.checked_at = now
        self.idle_since = now
        self.idle_s = IDLE_S
        self.is_reusable = True
        self._layers = layers
        self._transport = layers[-1]
        self._buffer = b""
        self._beyond = b""
        self._scanned = 0
        self._interim = 0
        self._is_used = False
        self._rest: _Body | None = None

    def close(self) -> None:
        self._transport.close()

    def is_clean(self) -> bool:
        """Whether a request may be sent: the last answer has ended, and nothing else has come. May switch greenlets,
        for ``REST_S`` at most."""
        try:
            while (data := self._transport.recv_now()) is not None:
                if not self._is_rest(data):
                    return False
            if self._rest is None or self._rest.is_done:
                return True
            return gevent.with_timeout(REST_S, self._ends, self._rest, timeout_value=False)
        except PeerError:
            return False

    def _ends(self, rest: _Body) -> bool:
        """Wait for the end of the last answer; whether that is what comes."""
        while not rest.is_done:
            if not self._is_rest(self._transport.recv()):
                return False
        return self._transport.recv_now() is None

    def _is_rest(self, data: bytes) -> bool:
        """Return whether this belongs to the last answer."""
        rest = self._rest
        if not data or rest is None or rest.feed(data) or rest.is_broken:
            return False
        return rest.total <= MAX_SKIPPED_BYTES

    def exchange(self, request: bytes, wanted: Wanted) -> Answer:
        """Send the request and return the answer. May switch greenlets. Raises NoAnswer, Stale."""
        self._rest = None
        self._buffer = b""
        self._scanned = self._interim = 0
        was_used, self._is_used = self._is_used, True
        try:
            head, is_early = self._converse(request)
        except ConnectionLost as lost:
            if was_used and not (self._buffer or self._interim) and lost.code in ("EOF", "ECONNRESET", "EPIPE"):
                raise Stale from lost
            if lost.code == "EOF":
                what = "in the middle of" if self._buffer else "without"
                raise NoAnswer(f"the connection was closed {what} an answer", "closed") from None
            raise NoAnswer(str(lost), lost.code) from None
        if is_early and 200 <= head.status < 300:
            raise NoAnswer("the answer came before the request was sent", "early_answer")
        is_wanted = wanted.size and (200 <= head.status < 300 or wanted.of_errors)
        body = _Body(head.length, wanted.size if is_wanted else 0)
        self._beyond = body.feed(self._buffer)
        is_whole = body.is_whole
        if is_wanted and not body.is_done:
            is_whole = gevent.with_timeout(BODY_S, self._read_body, body, timeout_value=False)
        self.is_reusable = head.keeps and not (is_early or self._beyond or body.is_broken)
        self._rest = body
        self._buffer = b""
        if match := _KEEP_ALIVE.search(head.headers.get("keep-alive", "")):
            self.idle_s = min(float(match[1]), IDLE_S)
        return Answer(head.status, head.headers, body.text(), is_whole)

    def _converse(self, request: bytes) -> tuple[_AnswerHead, bool]:
        """The head of the answer, and whether it came before the request was sent."""
        head = None
        lost: OSError | None = None
        try:
            head = self._send(request)
        except OSError as error:  # what the server said before it closed may be there nevertheless
            lost = error
        is_early = head is not None or lost is not None
        while head is None:
            try:
                data = self._transport.recv()
            except ConnectionLost:
                data = b""
                if lost is None:
                    raise
            if not data:
                code = errno.errorcode.get(lost.errno or 0, "EOF") if lost is not None else "EOF"
                raise ConnectionLost(f"sending failed: {lost}" if lost else "the connection was closed", code)
            head = self._take(data)
        return head, is_early

    def _send(self, request: bytes) -> _AnswerHead | None:
        """The head of an answer if one comes before all is sent. Raises OSError, ConnectionLost."""
        left = memoryview(request)
        while True:
            try:
                if left:
                    left = left[self._transport.send_now(left) :]  # type: ignore[arg-type]
                if not left and all(layer.flush() for layer in self._layers):
                    return None
            except BlockingIOError:
                pass
            watcher = get_hub().loop.io(self._transport.fileno(), 3)
            try:
                get_hub().wait(watcher)
            finally:
                watcher.close()
            data = self._transport.recv_now()
            if data is not None:
                if not data:
                    raise ConnectionLost("the connection was closed", "EOF")
                if (head := self._take(data)) is not None:
                    return head

    def _take(self, data: bytes) -> _AnswerHead | None:
        """The head of the answer, if ``data`` completes it; interim answers are passed over."""
        self._buffer += data
        while (end := _HEAD_END.search(self._buffer, self._scanned)) is not None:
            head = _AnswerHead(self._buffer[: end.start()])
            self._buffer = self._buffer[end.end() :]
            self._scanned = 0
            if head.status == _SWITCHING_PROTOCOLS:
                raise NoAnswer("the server wants to switch to another protocol (101)", "status:101")
            if head.status >= 200:
                return head
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise NoAnswer(f"over {MAX_INTERIM} interim answers", "too_many_interim")
        if len(self._buffer) > MAX_HEAD_BYTES:
            raise NoAnswer(f"the head of the answer has over {MAX_HEAD_BYTES} bytes", "head_too_large")
        self._scanned = max(len(self._buffer) - 3, 0)
        return None

    def _read_body(self, body: _Body) -> bool:
        """Read what is wanted; whether that is all."""
        parses = 0
        while not (body.is_done or body.is_broken) and body.kept < body.wanted:
            if body.lasts_until_close and body.kept and parses < _MAX_PARSES:
                parses += 1
                if _says_enough(body.text()):
                    return True
            try:
                data = self._transport.recv()
            except ConnectionLost:
                return False
            if not data:
                return body.lasts_until_close
            self._beyond = body.feed(data)
        return body.is_whole
