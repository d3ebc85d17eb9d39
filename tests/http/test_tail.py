"""Events over HTTP, as they happen."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from rtmpd.event.event import Event
from rtmpd.http import tail as tail_module
from rtmpd.http.response import HttpError
from rtmpd.http.tail import Listener, Tail, sse
from tests.support.desk import Desk, body_of, rest


def event(type: str = "publish_start", key: str = "live/a") -> Event:
    return Event(type, 1700000000, "c000001", key, {"app": "live"}, "evt_1", 7, "info")


def listen(desk: Desk, query: str = "") -> socket.socket:
    """Listening: the first piece has come."""
    sock = desk.connect(unix=True)
    sock.sendall(f"GET /api/v1/events{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    data = b""
    while b": listening" not in data:
        data += sock.recv(4096)
    return sock


def messages(answer: bytes) -> Iterator[dict[str, Any]]:
    for message in answer.split(b"\n\n"):
        fields = dict(line.split(b": ", 1) for line in message.split(b"\n") if b": " in line and line[:1] != b":")
        if b"data" in fields:
            yield {**json.loads(fields[b"data"]), "event": fields[b"event"].decode(), "last": fields.get(b"id")}


def test_an_event_carries_what_travels_beside_its_body() -> None:
    (message,) = messages(sse(event()))
    assert message == {
        "id": "evt_1", "seq": 7, "severity": "info", "type": "publish_start", "timestamp": 1700000000,
        "conn_id": "c000001", "stream_key": "live/a", "data": {"app": "live"}, "event": "publish_start",
        "last": b"evt_1",
    }  # fmt: skip


def test_a_listener_gets_what_fits_and_ends_after_its_count(desk: Desk) -> None:
    sock = listen(desk, "?type=publish_*&type=play_start&stream=live/*&count=2")
    for type, key in (("connection_close", "live/a"), ("publish_start", "other/a"), ("publish_start", "live/a")):
        desk.emit(type, key)
    desk.emit("play_start")
    desk.emit("play_start")
    assert [message["event"] for message in messages(rest(sock))] == ["publish_start", "play_start"]


def test_nothing_is_subscribed_to_while_nobody_listens(desk: Desk) -> None:
    first, second = listen(desk, "?count=1"), listen(desk, "?count=2")
    assert len(desk.offers) == 1
    desk.emit("play_start")
    rest(first)
    assert len(desk.offers) == 1
    desk.emit("play_start")
    rest(second)
    gevent.sleep(0)
    assert desk.offers == []


def test_a_listener_that_waits_for_an_end_gets_one(desk: Desk) -> None:
    assert list(messages(rest(listen(desk, "?wait_s=0.05")))) == []


def test_a_listener_that_has_left_is_noticed_at_the_next_heartbeat(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "HEARTBEAT_S", 0.02)
    listen(desk).close()
    with gevent.Timeout(5):
        while desk.offers:
            gevent.sleep(0.01)


def test_one_listener_too_many_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, event_listeners=1)
    sock = listen(desk)
    assert desk.ask("GET", "/api/v1/events")[0] == 503
    sock.close()
    desk.close()


def test_a_listener_that_does_not_keep_up_gets_what_was_queued_and_is_told() -> None:
    offers = []
    tail = Tail(lambda offer: offers.append(offer) or offers.clear, 1, 3)
    pieces = tail.listen([], [], 0, 0)
    for number in range(5):
        offers[0](event(f"type_{number}"))
    told = b"".join(pieces)
    assert [message["event"] for message in messages(told)] == ["type_0", "type_1", "type_2", "too_slow"]
    pieces.close()  # type: ignore[attr-defined]
    assert offers == []


def test_a_reader_that_takes_nothing_is_let_go(tmp_path: Path) -> None:
    desk = Desk(tmp_path, event_queue=10, send_timeout_s=0.2)
    try:
        sock = listen(desk)
        big = "x" * 100_000
        with gevent.Timeout(10):
            while desk.offers:
                desk.emit("play_start", filler=big)
                gevent.sleep(0)
        sock.close()
    finally:
        desk.close()


def test_a_listener_that_was_never_served_is_forgotten_too() -> None:
    tail = Tail(lambda offer: lambda: None, 1, 3)
    for _ in range(3):
        tail.listen([], [], 0, 0).close()  # type: ignore[attr-defined]
    tail.listen([], [], 0, 0)
    with pytest.raises(HttpError):
        tail.listen([], [], 0, 0)


def test_an_event_that_does_not_fit_wakes_nobody() -> None:
    listener = Listener(["play_*"], [], 1)
    listener.offer(event())
    assert listener.take(0.0) is None
    listener.offer(event("play_start"))
    taken = listener.take(0.0)
    assert taken is not None and taken.type == "play_start"


def test_the_stream_of_events_is_one_answer_in_chunks(desk: Desk) -> None:
    sock = desk.connect(unix=True)
    sock.sendall(b"GET /api/v1/events?wait_s=0.01 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = rest(sock)
    assert b"Content-Type: text/event-stream" in answer
    assert body_of(answer).startswith(b": listening\n\n")
