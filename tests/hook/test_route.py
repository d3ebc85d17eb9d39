"""What goes over a webhook's connections, seen from the other end of the socket."""

from __future__ import annotations

import http.client
import socket

import gevent
import pytest

from rtmpd.clock import Clock
from rtmpd.event.event import Event
from rtmpd.hook.sink.webhook import WebhookHook

EVENT = Event("publish_start", 1, "c1", "live/a", {"app": "live"}, "evt_1", 1)
PATIENCE_S = 5.0


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        yield server


@pytest.fixture
def hook(listener):
    hook = WebhookHook("h", f"http://127.0.0.1:{listener.getsockname()[1]}/x?y=1", 1, Clock())
    yield hook
    hook.close()


def post(hook):
    return gevent.spawn(hook.execute, EVENT, Clock().monotonic() + PATIENCE_S)


def test_head_and_body_go_out_in_one_send_and_the_connection_is_kept(hook, listener, monkeypatch):
    sends = []
    send = http.client.HTTPConnection.send

    def counted(connection, data):
        sends.append(data)
        send(connection, data)

    monkeypatch.setattr(http.client.HTTPConnection, "send", counted)
    first = post(hook)
    connection, _ = listener.accept()
    with connection:
        for delivery in (first, None):
            delivery = delivery or post(hook)
            request = connection.recv(65536)
            assert request.startswith(b"POST /x?y=1 HTTP/1.1\r\n")
            assert request.endswith(b"\r\n\r\n" + EVENT.json())
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            delivery.get(timeout=PATIENCE_S)
    assert len(sends) == 2


@pytest.mark.parametrize("unasked", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
def test_a_kept_connection_on_which_something_came_meanwhile_is_not_used_again(hook, listener, unasked):
    first = post(hook)
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        first.get(timeout=PATIENCE_S)
        connection.sendall(unasked)
        connection.shutdown(socket.SHUT_WR)
        second = post(hook)
        fresh, _ = listener.accept()
        with fresh:
            assert fresh.recv(65536).endswith(EVENT.json())
            fresh.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            second.get(timeout=PATIENCE_S)


def test_a_kept_connection_that_ends_without_an_answer_costs_no_try(hook, listener):
    first = post(hook)
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    first.get(timeout=PATIENCE_S)
    second = post(hook)
    connection.recv(65536)
    connection.close()
    fresh, _ = listener.accept()
    with fresh:
        assert fresh.recv(65536).endswith(EVENT.json())
        fresh.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        second.get(timeout=PATIENCE_S)
