"""One request, whole, byte by byte and hostile, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.http.problem import Gone, HttpError
from rtmpd.http.request import HEAD_BYTES, HEADERS, parse_head, read_body, read_head

PLAIN = b"GET /api/v1/streams/live%2Fa?limit=5&after=x+y%20z HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nX-a:2 \r\n\r\n"


class Pieces:
    """``recv`` over bytes, ``size`` at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self.data = data
        self.size = size

    def recv(self, most: int) -> bytes:
        piece, self.data = self.data[: min(self.size, most)], self.data[min(self.size, most) :]
        return piece


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_a_request_is_read_in_pieces_of_any_size(size: int) -> None:
    source = Pieces(PLAIN + b"body", size)
    request, begun = read_head(source.recv)
    assert (request.method, request.path) == ("GET", "/api/v1/streams/live%2Fa")
    assert request.segments == ("api", "v1", "streams", "live/a")
    assert request.query == (("limit", "5"), ("after", "x y z"))
    assert request.headers == {"host": "localhost", "x-a": "1, 2"}
    assert read_body(source.recv, 4, begun) == b"body"


@pytest.mark.parametrize("data", [b"", PLAIN[:10], PLAIN[:-1]])
def test_a_client_that_leaves_in_between_is_gone(data: bytes) -> None:
    with pytest.raises(Gone):
        read_head(Pieces(data, 5).recv)
    with pytest.raises(Gone):
        read_body(Pieces(b"ab", 5).recv, 3, b"")


def head(*headers: str, line: str = "GET / HTTP/1.1") -> bytes:
    return "\r\n".join([line, *headers]).encode("latin-1")


HOSTILE = [
    (head("Host: a", "Content-Length: 1", "Content-Length: 2"), 400),
    (head("Host: a", "Content-Length: 1", "Content-Length: 1"), 400),
    (head("Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
    (head("Host: a", "Transfer-Encoding: chunked", "Content-Length: 1"), 400),
    (head("Host: a", "Transfer-Encoding: chunked"), 411),
    (head("Host: a", "Content-Length: 1, 1"), 400),
    (head("Host: a", "Content-Length: +1"), 400),
    (head("Host: a", "Content-Length: -1"), 400),
    (head("Host: a", "Content-Length: 0x10"), 400),
    (head("Host: a", "Content-Length: " + "9" * 30), 400),
    (head("Host: a", "Content-Length: ²"), 400),
    (head("Host: a", "Content-Length:"), 400),
    (head("Host: a", "Host: b"), 400),
    (head(), 400),
    (head("Host : a"), 400),
    (head("Host: a", " folded"), 400),
    (head("Host: a", "X: a\rb"), 400),
    (head("Host: a", "X: a\nContent-Length: 1"), 400),
    (head("Host: a", "X: a\0b"), 400),
    (head("Host: a", "no colon"), 400),
    (head("Host: a", ": empty"), 400),
    (head("Host: a", *[f"X-{n}: a" for n in range(HEADERS)]), 431),
    (head("Host: a", line="GET / HTTP/2.0"), 505),
    (head("Host: a", line="GET /  HTTP/1.1"), 400),
    (head("Host: a", line="GET\t/ HTTP/1.1"), 400),
    (head("Host: a", line="GET http://a/ HTTP/1.1"), 400),
    (head("Host: a", line="OPTIONS * HTTP/1.1"), 400),
    (head("Host: a", line="GET /a#b HTTP/1.1"), 400),
    (head("Host: a", line="GET /%zz HTTP/1.1"), 400),
    (head("Host: a", line="GET /%ff HTTP/1.1"), 400),
    (head("Host: a", line="GET /\xe9 HTTP/1.1"), 400),
    (head("Host: a", line="GET /" + "a" * 9000 + " HTTP/1.1"), 414),
    (head("Host: a", line="G(T / HTTP/1.1"), 400),
    (head("Host: a", line="GET / HTTP/1.1 "), 400),
    (head("Host: a", line="GET /"), 400),
    (b"", 400),
]


@pytest.mark.parametrize(("data", "status"), HOSTILE)
def test_what_two_readers_could_take_differently_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(HttpError) as refused:
        parse_head(data)
    assert refused.value.status == status


def test_a_head_without_an_end_is_refused_at_its_bound() -> None:
    source = Pieces(b"GET / HTTP/1.1\r\nX: " + b"a" * 10 * HEAD_BYTES, 4096)
    with pytest.raises(HttpError) as refused:
        read_head(source.recv)
    assert refused.value.status == 431
    assert len(source.data) > 8 * HEAD_BYTES, "the rest was not read"


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"\x03" + bytes(1536), b"\r\nGET / HTTP/1.1\r\n\r\n"])
def test_another_protocol_is_refused_at_its_first_byte(data: bytes) -> None:
    with pytest.raises(HttpError) as refused:
        read_head(Pieces(data, 1).recv)
    assert refused.value.status == 400


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_refusal(data: bytes) -> None:
    for given_head in (data, b"GET /" + data + b" HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: a\r\n" + data):
        try:
            parse_head(given_head)
        except HttpError as error:
            assert 400 <= error.status <= 505
