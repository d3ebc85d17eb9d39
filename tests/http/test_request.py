"""One request, whole, byte by byte and hostile, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.http.request import HEAD_BYTES, HEADERS, Reading
from rtmpd.http.response import HttpError

PLAIN = b"POST /api/v1/streams/live%2Fa?limit=5&after=x+y%20z HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nX-a:2 \r\n"
PLAIN += b"X_A: 3\r\nContent-Length: 4\r\nCookie: a=1\r\nCookie: b=2\r\n\r\nbody"


def read(data: bytes, size: int = 65536) -> Reading:
    """Feed a request in pieces."""
    reading = Reading(1000)
    for start in range(0, len(data), size):
        reading.feed(data[start : start + size])
    return reading


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_a_request_is_read_in_pieces_of_any_size(size: int) -> None:
    reading = read(PLAIN, size)
    assert reading.is_complete and reading.keeps_alive and not reading.is_followed
    request = reading.request
    assert (request.method, request.raw_path, request.path) == (
        "POST", "/api/v1/streams/live%2Fa", "/api/v1/streams/live/a",
    )  # fmt: skip
    assert list(request.args.items(multi=True)) == [("limit", "5"), ("after", "x y z")]
    assert (request.headers["Host"], request.headers["X-A"]) == ("localhost", "1, 2"), "and not what looks like it"
    assert request.cookies.to_dict() == {"a": "1", "b": "2"}
    assert request.get_data() == b"body"


@pytest.mark.parametrize("end", [0, 10, len(PLAIN) - 1])
def test_a_request_that_breaks_off_is_not_complete(end: int) -> None:
    reading = read(PLAIN[:end])
    assert not reading.is_complete and reading.is_begun == (end > 0)


@pytest.mark.parametrize("size", [1, 65536])
def test_what_follows_a_request_is_no_part_of_it(size: int) -> None:
    data = PLAIN + b"GET /other?x HTTP/1.1\r\nHost: evil\r\nContent-Length: 3\r\n\r\nabc"
    reading = Reading(1000)
    for start in range(0, len(data), size):
        reading.feed(data[start : start + size])
    assert reading.is_followed
    assert (reading.request.raw_path, reading.request.get_data()) == ("/api/v1/streams/live%2Fa", b"body")


def parse_head(data: bytes) -> None:
    """All that stands before the empty line."""
    reading = Reading(1000)
    reading.feed(data + b"\r\n\r\n")
    if not reading.has_head:
        raise HttpError(400, "the head does not end")


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
    reading, fed = Reading(1000), 0
    with pytest.raises(HttpError) as refused:
        reading.feed(b"GET / HTTP/1.1\r\nX: ")
        while fed < 10 * HEAD_BYTES:
            assert reading.wanted_bytes > 0
            reading.feed(b"a" * min(4096, reading.wanted_bytes))
            fed += 4096
    assert refused.value.status == 431
    assert fed < 2 * HEAD_BYTES


def test_a_body_that_is_too_long_is_refused_by_its_head() -> None:
    with pytest.raises(HttpError) as refused:
        Reading(1000).feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
    assert refused.value.status == 413


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"\x03" + bytes(1536), b"\r\nGET / HTTP/1.1\r\n\r\n"])
def test_another_protocol_is_refused_at_its_first_byte(data: bytes) -> None:
    with pytest.raises(HttpError) as refused:
        read(data, 1)
    assert refused.value.status == 400


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_refusal(data: bytes) -> None:
    for given_head in (data, b"GET /" + data + b" HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: a\r\n" + data):
        try:
            parse_head(given_head)
        except HttpError as error:
            assert 400 <= error.status <= 505
