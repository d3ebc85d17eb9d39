"""One HTTP/1.1 request, read strictly (RFC 9112) by llhttp.

What two readers could understand differently is refused, not guessed: two lengths, a length together with chunks,
folded headers, bare newlines, spaces before a colon are errors of the parser; what it lets pass and we do not (a second
Host, a target that is not a path, an escape that is not UTF-8) is checked here. Whatever follows a request
before it was answered is not read: it can never be taken for another one.
"""

from __future__ import annotations

import io
import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from werkzeug.wrappers import Request as WerkzeugRequest

from .response import HttpError

HEAD_BYTES: Final = 16384
TARGET_BYTES: Final = 8192
HEADERS: Final = 64

_TARGET: Final = re.compile(rb"/[!-\"$-~]*")  # visible characters of ASCII, no fragment
_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ONCE: Final = frozenset(("HTTP_HOST", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_AUTHORIZATION", "HTTP_EXPECT"))
_UNPREFIXED: Final = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
_VERSIONS: Final = ("1.1", "1.0")
_LEAST_TOKEN_BYTE: Final = b"!"


class Request(WerkzeugRequest):
    """A request with all of its body. ``raw_path`` is the path as it was sent: where it is split matters before it is
    decoded."""

    @property
    def raw_path(self) -> str:
        """The path as it was sent, without the query."""
        path: str = self.environ["RAW_PATH"]
        return path

    @property
    def is_1_0(self) -> bool:
        """Whether the client speaks HTTP/1.0 and knows no chunks."""
        return bool(self.environ["SERVER_PROTOCOL"] == "HTTP/1.0")


def request_of(
    method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes = b"", version: str = "1.1"
) -> Request:
    """Return the request made of these parts. Raises HttpError if they are not valid."""
    if len(target) > TARGET_BYTES:
        raise HttpError(414, f"the target has more than {TARGET_BYTES} bytes")
    if not _TARGET.fullmatch(target) or _ESCAPE.search(target):
        raise HttpError(400, "the target is not a path")
    path, _, query = target.partition(b"?")
    if b"%" in target:
        try:
            decoded = unquote_to_bytes(path).decode()
            unquote_to_bytes(query).decode()
        except UnicodeDecodeError:
            raise HttpError(400, "the target is not valid UTF-8") from None
    else:
        decoded = path.decode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": decoded.encode().decode("latin-1"),
        "RAW_PATH": path.decode(),
        "QUERY_STRING": query.decode(),
        "SERVER_PROTOCOL": f"HTTP/{version}",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
    }
    if len(headers) > HEADERS:
        raise HttpError(431, f"there are more than {HEADERS} headers")
    for raw_name, raw_value in headers:
        if b"_" in raw_name:
            continue  # it would look like the one with a dash, as every gateway warns
        lower = raw_name.lower()
        name = _UNPREFIXED.get(lower) or "HTTP_" + lower.decode().upper().replace("-", "_")
        value = raw_value.decode("latin-1").strip(" \t")
        if name in environ:
            if name in _ONCE:
                raise HttpError(400, f"{lower.decode()} is given twice")
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ', '}{value}"
        environ[name] = value
    if version != "1.0" and "HTTP_HOST" not in environ:
        raise HttpError(400, "the Host header is missing")
    return Request(environ)


class Reading:
    """A request that is being received: ``feed`` until ``is_complete``, then ``request``.

    ``is_begun`` and ``has_head`` say how far it is. ``rest`` is what followed it in the last piece: what belongs to
    another protocol if ``wants_upgrade``, else the beginning of another request (``is_followed``).
    """

    def __init__(self, body_bytes: int) -> None:
        self._body_bytes = body_bytes
        self._parser = HttpRequestParser(self)
        self._head = b""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._refusal: HttpError | None = None
        self._request: Request | None = None
        self.keeps_alive = False
        self.wants_upgrade = False
        self.has_head = False
        self.is_complete = False
        self.is_followed = False
        self.rest = b""

    @property
    def is_begun(self) -> bool:
        """Whether a byte of it has come."""
        return bool(self._head)

    @property
    def wanted_bytes(self) -> int:
        """How many bytes may be read next."""
        return 65536 if self.has_head else HEAD_BYTES + 1 - len(self._head)

    @property
    def request(self) -> Request:
        """The complete request; only after ``is_complete``."""
        assert self._request is not None
        self._request.environ["wsgi.input"] = io.BytesIO(b"".join(self._body))
        return self._request

    @property
    def expectation(self) -> str:
        """What the client expects before it sends the body, "" if nothing."""
        return self._request.headers.get("Expect", "") if self._request is not None else ""

    def feed(self, data: bytes) -> None:
        """More bytes. Raises HttpError; nothing can be fed after that."""
        in_head = not self.has_head
        if in_head:
            self._head += data
            if self._head[:1] < _LEAST_TOKEN_BYTE:
                raise HttpError(400, "this is not an HTTP request")
            if self._head.startswith(b"\x16\x03"):
                raise HttpError(400, "this listener does not use TLS")
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self.wants_upgrade = True
            self.rest = data[upgrade.args[0] :]
        except HttpParserError as error:
            if self._refusal is None and not self.is_complete:
                raise HttpError(400, f"the request is not valid HTTP: {error}") from None
        if self._refusal is not None:
            raise self._refusal
        if in_head and not self.has_head and len(self._head) > HEAD_BYTES:
            raise HttpError(431, f"the head of the request has more than {HEAD_BYTES} bytes")

    # --- called by the parser -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Note a message that follows the complete one."""
        self.is_followed = self.is_complete

    def on_url(self, data: bytes) -> None:
        """A piece of the target."""
        if not self.is_complete:
            self._url += data

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header field."""
        if not self.is_complete:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is complete. What is wrong with it is kept for ``feed``: the parser would wrap an error."""
        if self.is_complete:
            return
        self.has_head = True
        try:
            self._request = self._read_head()
        except HttpError as refusal:
            self._refusal = refusal

    def _read_head(self) -> Request:
        version = self._parser.get_http_version()
        line = self._head[: self._head.find(b"\r\n")]
        if line.count(b" ") != 2 or version == "0.9":
            raise HttpError(400, "the request line is not valid")
        if version not in _VERSIONS:
            raise HttpError(505, "only HTTP/1.0 and HTTP/1.1 are supported")
        self.keeps_alive = version == "1.1" and self._parser.should_keep_alive()
        request = request_of(self._parser.get_method().decode(), self._url, self._headers, version=version)
        if "HTTP_TRANSFER_ENCODING" in request.environ:
            raise HttpError(411, "a body needs a Content-Length")
        length = int(request.environ.get("CONTENT_LENGTH", "0"))
        if length > self._body_bytes:
            raise HttpError(413, f"a body may have at most {self._body_bytes} bytes")
        return request

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self.is_complete:
            self._body.append(data)

    def on_message_complete(self) -> None:
        """All of it has come."""
        self.is_complete = True
