"""WebSocket for a server that sends binary messages and reads no more than control frames (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

PROTOCOL: Final = "websocket"
MAX_READ_BYTES: Final = 65536  #: of a frame from the client; players send nothing but control frames

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_FIN: Final = 0x80
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA
_MASKED: Final = 0x80
_MAX_CONTROL_BYTES: Final = 125  # RFC 6455, 5.5
_GOING_AWAY: Final = 1001
_PROTOCOL_ERROR: Final = 1002
_TOO_BIG: Final = 1009


def fault_of(header: Callable[[str, str], str]) -> str:
    """Why a request, whose headers ``header`` returns by name or else its second argument, is not an opening handshake;
    "" if it is (RFC 6455, 4.2.1)."""
    if header("Sec-WebSocket-Version", "") != "13":
        return "Sec-WebSocket-Version has to be 13"
    try:
        key = base64.b64decode(header("Sec-WebSocket-Key", ""), validate=True)
    except ValueError:
        key = b""
    return "" if len(key) == 16 else "Sec-WebSocket-Key has to be 16 bytes in base64"


def accept_of(key: str) -> str:
    """The Sec-WebSocket-Accept for a key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.strip().encode("latin-1") + _GUID).digest()).decode()


def is_own_origin(origin: str, host: str) -> bool:
    """Whether a page of this very server asks, or a program that sends no Origin."""
    return not origin or urlsplit(origin).netloc.lower() == host.lower()


def binary(data: bytes) -> bytes:
    """``data`` as one message of one frame (RFC 6455, 5.2)."""
    return _head(_BINARY, len(data)) + data


def _head(opcode: int, size: int) -> bytes:
    if size < 126:
        return bytes((_FIN | opcode, size))
    if size < 1 << 16:
        return bytes((_FIN | opcode, 126)) + size.to_bytes(2, "big")
    return bytes((_FIN | opcode, 127)) + size.to_bytes(8, "big")


def close(code: int = _GOING_AWAY) -> bytes:
    """A close frame."""
    return _head(_CLOSE, 2) + code.to_bytes(2, "big")


class Reader:
    """What the client says. ``feed`` returns the answer; ``is_over`` once the connection has to end after it."""

    def __init__(self) -> None:
        self.is_over = False
        self._data = b""

    def feed(self, data: bytes) -> bytes:
        """More bytes; pongs for its pings, a close for its close, or for what is not allowed. What it sends as
        messages is ignored."""
        have = self._data + data
        answers: list[bytes] = []
        at = 0
        while not self.is_over and len(have) - at >= 2:
            first, second = have[at], have[at + 1]
            opcode, size, start = first & 0x0F, second & 0x7F, at + 2
            if not second & _MASKED or first & 0x70 or (opcode >= _CLOSE and size > _MAX_CONTROL_BYTES):
                return b"".join([*answers, self._end(_PROTOCOL_ERROR)])
            if size >= 126:
                start += 2 if size == 126 else 8
                if len(have) < start:
                    break
                size = int.from_bytes(have[at + 2 : start], "big")
            if size > MAX_READ_BYTES:
                return b"".join([*answers, self._end(_TOO_BIG)])
            end = start + 4 + size
            if len(have) < end:
                break
            mask, body = have[start : start + 4], have[start + 4 : end]
            at = end
            if opcode == _CLOSE:
                return b"".join([*answers, self._end(1000)])
            if opcode == _PING:
                clear = bytes(byte ^ mask[index & 3] for index, byte in enumerate(body))
                answers += [_head(_PONG, len(clear)), clear]
        self._data = have[at:]  # cut once: a client may send thousands of tiny frames in one read
        return b"".join(answers)

    def _end(self, code: int) -> bytes:
        self.is_over = True
        self._data = b""
        return close(code)
