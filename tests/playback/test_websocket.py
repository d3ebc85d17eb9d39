"""The server's half of RFC 6455."""

from __future__ import annotations

import pytest

from rtmpd.playback import websocket
from rtmpd.playback.websocket import Reader

MASK = b"\x01\x02\x03\x04"


def client_frame(opcode: int, body: bytes = b"", fin: int = 0x80) -> bytes:
    masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(body))
    size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
    return bytes([fin | opcode]) + size + MASK + masked


def test_the_accept_is_that_of_the_standard() -> None:
    assert websocket.accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, ""),
        ({"Sec-WebSocket-Version": "8", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-WebSocket-Version"),
        ({"Sec-WebSocket-Version": "13"}, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "c2hvcnQ="}, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "not base64!"}, "Sec-WebSocket-Key"),
    ],
)
def test_an_opening_handshake_is_checked(headers: dict[str, str], fault: str) -> None:
    assert websocket.fault_of(headers.get).partition(" ")[0] == fault  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "head"),
    [(0, "8200"), (125, "827d"), (126, "827e007e"), (65535, "827effff"), (65536, "827f0000000000010000")],
)
def test_a_message_is_one_binary_frame_that_is_not_masked(size: int, head: str) -> None:
    assert websocket.binary(bytes(size)) == bytes.fromhex(head) + bytes(size)


def test_a_ping_is_answered_however_it_is_cut() -> None:
    said = client_frame(0x9, b"hello") + client_frame(0x1, b"ignored" * 20) + client_frame(0x9)
    whole, piecewise = Reader(), Reader()
    expected = b"\x8a\x05hello\x8a\x00"
    assert whole.feed(said) == expected
    assert b"".join(piecewise.feed(said[i : i + 1]) for i in range(len(said))) == expected
    assert not whole.is_over


def test_a_close_is_answered_and_nothing_after_it_is_read() -> None:
    reader = Reader()
    assert reader.feed(client_frame(0x8, b"\x03\xe8") + client_frame(0x9)) == websocket.close(1000)
    assert reader.is_over


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x81\x05hello", 1002),  # not masked
        (client_frame(0x9, bytes(126)), 1002),  # a control frame that is too long
        (b"\xc1" + client_frame(0x1)[1:], 1002),  # a reserved bit
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + MASK, 1009),
        (b"\x82\xff" + (1 << 63).to_bytes(8, "big") + MASK, 1009),
    ],
)
def test_what_is_not_allowed_ends_the_connection_and_keeps_nothing(said: bytes, code: int) -> None:
    reader = Reader()
    assert reader.feed(said) == websocket.close(code)
    assert reader.is_over and not reader._data


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("", "example.net:8000", True),
        ("https://example.net:8000", "Example.net:8000", True),
        ("https://evil.example", "example.net", False),
        ("null", "example.net", False),
    ],
)
def test_a_page_of_this_server_is_told_from_others(origin: str, host: str, own: bool) -> None:
    assert websocket.is_own_origin(origin, host) is own
