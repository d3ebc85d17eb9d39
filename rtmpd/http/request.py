"""One HTTP/1.1 request, read strictly (RFC 9112).

What two readers could understand differently is refused, not guessed: two lengths, a length together with chunks,
folded headers, bare newlines, spaces before a colon. A connection carries one request, so nothing that follows
can be taken for another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote_to_bytes

from .problem import Gone, HttpError

HEAD_BYTES: Final = 16384
TARGET_BYTES: Final = 8192
HEADERS: Final = 64

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (\S+) HTTP/(\d)\.(\d)")
_TARGET: Final = re.compile(rb"/[!-\"$-~]*")  # visible characters of ASCII, no fragment
_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_VALUE: Final = re.compile(rb"[\t -~\x80-\xff]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_ONCE: Final = frozenset(("host", "content-length", "content-type", "authorization", "transfer-encoding", "expect"))


@dataclass(frozen=True, slots=True)
class Request:
    """``segments`` are the parts of the path, each decoded after the path was split; ``query`` has the decoded
    pairs in their order. Names of headers are in lower case."""

    method: str
    path: str
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    is_1_0: bool = False
    body: bytes = b""

    @property
    def length(self) -> int:
        """Bytes of the body that the head announces."""
        return int(self.headers.get("content-length", "0"))

    def with_body(self, body: bytes) -> Request:
        """The same request with its body."""
        return replace(self, body=body)


def read_head(recv: Callable[[int], bytes]) -> tuple[Request, bytes]:
    """The request without its body, and what came behind its head.

    Raises HttpError, or Gone if the client left. ``recv`` may switch greenlets.
    """
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > HEAD_BYTES:
            raise HttpError(431, f"the head of the request has over {HEAD_BYTES} bytes")
        piece = recv(HEAD_BYTES)
        if not piece:
            raise Gone
        data += piece
        if data[:1] < b"!":
            raise HttpError(400, "this is no HTTP request")
        if data.startswith(b"\x16\x03"):
            raise HttpError(400, "TLS is not spoken here")
    if end > HEAD_BYTES:
        raise HttpError(431, f"the head of the request has over {HEAD_BYTES} bytes")
    return parse_head(data[:end]), data[end + 4 :]


def read_body(recv: Callable[[int], bytes], length: int, begun: bytes) -> bytes:
    """``length`` bytes of body, of which ``begun`` has come. Raises Gone. ``recv`` may switch greenlets."""
    pieces, missing = [begun[:length]], length - len(begun)
    while missing > 0:
        piece = recv(min(missing, 65536))
        if not piece:
            raise Gone
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def parse_head(head: bytes) -> Request:
    """The request line and the headers, without the empty line at their end. Raises HttpError."""
    lines = head.split(b"\r\n")
    match = _LINE.fullmatch(lines[0])
    if match is None:
        raise HttpError(400, "the request line is not understood")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise HttpError(505, "HTTP/1.1 is spoken here")
    if len(target) > TARGET_BYTES:
        raise HttpError(414, f"the target has over {TARGET_BYTES} bytes")
    if not _TARGET.fullmatch(target) or _ESCAPE.search(target):
        raise HttpError(400, "the target is no path")
    path, _, query = target.partition(b"?")
    headers = _headers(lines[1:])
    _check_length(headers)
    if minor != b"0" and "host" not in headers:
        raise HttpError(400, "there is no Host")
    return Request(
        method.decode(),
        path.decode(),
        tuple(_decoded(part) for part in path[1:].split(b"/")),
        _query(query),
        headers,
        minor == b"0",
    )


def _headers(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > HEADERS:
        raise HttpError(431, f"there are over {HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        raw_name, colon, raw_value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(raw_name) or not _VALUE.fullmatch(raw_value):
            raise HttpError(400, "a header is not understood")
        name, value = raw_name.decode().lower(), raw_value.decode("latin-1").strip(" \t")
        if name in headers:
            if name in _ONCE:
                raise HttpError(400, f"{name} stands there twice")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _check_length(headers: Mapping[str, str]) -> None:
    length = headers.get("content-length")
    if "transfer-encoding" in headers:
        if length is not None:
            raise HttpError(400, "there is a length and a transfer coding")
        raise HttpError(411, "a body needs a Content-Length here")
    if length is not None and not _LENGTH.fullmatch(length.encode("latin-1")):
        raise HttpError(400, "the length is no number")


def _query(query: bytes) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((_decoded(name.replace(b"+", b" ")), _decoded(value.replace(b"+", b" "))))
    return tuple(pairs)


def _decoded(part: bytes) -> str:
    try:
        return unquote_to_bytes(part).decode("utf-8")
    except UnicodeDecodeError:
        raise HttpError(400, "the target is no UTF-8") from None
