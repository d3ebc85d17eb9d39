"""Endpoints that fail in every way there is, and the URL for dead letters, over real sockets."""

from __future__ import annotations

import json
import os
import socket as plain_socket
import ssl
import struct

import gevent
import pytest

from rtmpd.clock import Clock, rfc3339
from rtmpd.event.birth import time_of
from rtmpd.hook.manager import HookManager
from rtmpd.settings import AuthSettings, DeliverySettings, HookSettings, HooksSettings, HttpSettings, RetrySettings
from tests.support.authority import Authority
from tests.support.proof import proves
from tests.support.receiver import NO_CONTENT, hangs, receiving, says, status
from tests.support.waiting import until

FIVE = RetrySettings(max_attempts=5, initial_delay_s=0.01, max_delay_s=0.02)


@pytest.fixture
def delivering():
    """Makes managers with one webhook and closes them."""
    managers = []

    def make(url, retry=FIVE, **settings):
        hook = HookSettings("ops", "webhook", url, retry=retry, **settings)
        managers.append(HookManager(HooksSettings((hook,)), Clock()))
        return managers[-1]

    yield make
    for manager in managers:
        manager.close(0)


def about(manager):
    return manager.stats()["hooks"]["ops"]


def in_turn(*answers):
    """Each answer once, then 204."""
    left = list(answers)

    def answer(sock, request):
        return (left.pop(0) if left else says(NO_CONTENT))(sock, request)

    return answer


def resets(sock, request):
    sock.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return False


def drips(sock, request):
    while True:
        sock.sendall(b"H")
        gevent.sleep(0.02)


def garbage(sock, request):
    sock.sendall(b"\x00\xff what?\r\n\r\n")
    return False


def ends(sock, request):
    return False


@pytest.mark.parametrize(
    "trouble",
    [*map(status, ("503 Busy", "500 Oops", "408 Slow", "425 Early")), hangs, drips, resets, garbage, ends],
    ids=["503", "500", "408", "425", "hang", "drip", "reset", "garbage", "end"],
)
def test_trouble_of_the_endpoint_is_waited_for(delivering, trouble):
    with receiving(in_turn(trouble, trouble)) as receiver:
        manager = delivering(receiver.url, timeout_s=0.2)
        manager.emit("publish_start", stream_key="a")
        manager.emit("publish_stop", stream_key="a")
        until(lambda: about(manager)["executed"] == 2)
    types = [json.loads(request.body)["type"] for request in receiver.requests]
    assert types[-1] == "publish_stop" and set(types[:-1]) == {"publish_start"} and len(types) >= 4
    assert about(manager)["retried"] == 2
    assert len({request.headers["x-rtmp-event-id"] for request in receiver.requests}) == 2


def test_a_port_where_nobody_listens_is_waited_for(delivering):
    with plain_socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        manager = delivering(f"http://127.0.0.1:{reserved.getsockname()[1]}/")
        manager.emit("publish_start")
        until(lambda: about(manager)["dead"] == {"attempts": 1})
    assert about(manager)["retried"] == 4


@pytest.mark.parametrize("line", ["301 Moved", "302 Found", "400 Bad", "404 No", "413 Large", "415 Odd", "422 No"])
def test_a_refused_event_is_dead_after_one_request(delivering, line):
    with receiving(in_turn(says(f"HTTP/1.1 {line}\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".encode()))) as receiver:
        manager = delivering(receiver.url)
        manager.emit("publish_start", stream_key="a")
        manager.emit("publish_stop", stream_key="a")
        until(lambda: about(manager)["executed"] == 1)
    assert len(receiver.requests) == 2
    assert about(manager)["dead"] == {"refused": 1}


def test_bad_credentials_hold_the_event_until_they_are_good(delivering):
    with receiving(in_turn(*[status("401 Who")] * 7, status("403 Not you"))) as receiver:
        manager = delivering(receiver.url)
        manager.emit("publish_start")
        until(lambda: about(manager)["executed"] == 1)
    assert len(receiver.requests) == 9 and about(manager)["dead"] == {}


def test_an_endpoint_that_is_gone_is_asked_no_more(delivering):
    with receiving(status("410 Gone")) as receiver:
        manager = delivering(receiver.url, concurrency=1)
        for _ in range(4):
            manager.emit("publish_start")
        until(lambda: about(manager)["dead"] == {"disabled": 4})
        manager.emit("publish_start")
    assert len(receiver.requests) == 1
    assert about(manager)["state"] == "disabled" and about(manager)["dead"] == {"disabled": 5}


def headers(*lines):
    return says("\r\n".join(["HTTP/1.1 429 Slowly", "Content-Length: 0", *lines, "", ""]).encode())


@pytest.mark.parametrize(
    "lines",
    [
        ("Retry-After: 3600",),
        ("Retry-After: 99999999999",),
        ("Date: Tue, 14 Nov 2023 22:00:00 GMT", "Retry-After: Tue, 14 Nov 2023 23:00:00 GMT"),
        ("Retry-After: Tue, 14 Nov 2999 23:00:00 GMT",),
    ],
)
def test_a_far_retry_after_holds_the_whole_lane(delivering, lines):
    with receiving(headers(*lines)) as receiver:
        manager = delivering(receiver.url)
        manager.emit("publish_start", stream_key="a")
        until(lambda: about(manager)["state"] == "retrying")
        manager.emit("publish_start", stream_key="b")
        lane = manager._lanes["ops"]
        assert 3500 < lane._health.paused_until - manager._clock.monotonic() <= 86400
        gevent.sleep(0)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "lines",
    [
        ("Retry-After: 0",),
        ("Retry-After: 0.01",),
        ("Retry-After: -3600",),
        ("Retry-After: soon",),
        ("Retry-After:",),
        ("Retry-After: Tue, 14 Nov 2023 22:00:00 GMT",),
        ("Date: Tue, 14 Nov 2999 23:00:00 GMT", "Retry-After: Tue, 14 Nov 2999 22:00:00 GMT"),
        ("Retry-After: 3600, 7200",),
        ("Retry-After: " + "9" * 300,),
    ],
)
def test_a_retry_after_that_says_nothing_or_has_passed_leaves_it_to_the_backoff(delivering, lines):
    with receiving(in_turn(headers(*lines))) as receiver:
        manager = delivering(receiver.url)
        manager.emit("publish_start")
        until(lambda: about(manager)["executed"] == 1)
    assert len(receiver.requests) == 2


def test_a_hook_that_hangs_costs_its_neighbour_nothing():
    with receiving(hangs) as dead, receiving(says(NO_CONTENT)) as good:
        hooks = (
            HookSettings("dead", "webhook", dead.url, timeout_s=60.0),
            HookSettings("good", "webhook", good.url),
        )
        manager = HookManager(HooksSettings(hooks), Clock())
        for number in range(50):
            manager.emit("publish_start", stream_key=str(number))
        until(lambda: len(good.requests) == 50)
        assert manager.stats()["hooks"]["dead"]["executed"] == 0
        manager.close(0)


def test_a_script_says_by_75_that_it_wants_the_event_again(tmp_path):
    path, count = tmp_path / "hook", tmp_path / "count"
    path.write_text(f'echo "$RTMP_EVENT_ID" >> {count}\n[ $(wc -l < {count}) -ge 3 ] || exit 75\n')
    manager = HookManager(HooksSettings((HookSettings("ops", "script", str(path), retry=FIVE),)), Clock())
    manager.emit("publish_start")
    until(lambda: about(manager)["executed"] == 1)
    manager.close(0)
    lines = count.read_text().split()
    assert len(lines) == 3 and len(set(lines)) == 1


# --- dead letters ---------------------------------------------------------------------------------


def test_a_dead_letter_is_posted_with_what_led_to_it(delivering):
    with receiving(status("503 Busy")) as receiver, receiving(says(NO_CONTENT)) as graveyard:
        url = receiver.url.replace("http://", "http://me:hidden@")
        manager = delivering(url, delivery=DeliverySettings(dead_letter_url=graveyard.url))
        manager.emit("publish_start", conn_id="c000001", stream_key="live/a", app="live")
        until(lambda: graveyard.requests)
    sent = graveyard.requests[0]
    letter = json.loads(sent.body)
    assert list(letter) == ["event", "hook_id", "attempts", "last_error", "original_time", "dead_letter_time"]
    assert letter["event"] == json.loads(receiver.requests[0].body)
    assert (letter["hook_id"], letter["attempts"]) == ("ops", 5)
    assert letter["last_error"] == "server returned status 503"
    assert letter["original_time"] == rfc3339(time_of(sent.headers["x-rtmp-event-id"]))
    assert letter["dead_letter_time"] >= letter["original_time"]
    assert "authorization" in receiver.requests[0].headers and "authorization" not in sent.headers
    assert sent.headers["x-rtmp-event-id"] == receiver.requests[0].headers["x-rtmp-event-id"]


def test_what_proves_who_a_hook_is_does_not_go_to_its_dead_letter_url(delivering, tmp_path):
    """Neither its headers nor its certificate, although both ends ask for one; the authority of the file is shared."""
    authority = Authority(tmp_path)
    certificate, key = map(os.fspath, authority.issue("client"))
    shown = []

    def notes(answer):
        def note(sock, request):
            shown.append((sock.getpeercert(binary_form=True), request))
            return status(answer)(sock, request)

        return note

    def asks_for_certificates():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("server"))
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    http = HttpSettings(
        headers=(("X-Tenant", "acme"), ("Authorization", "Bearer hidden")),
        client_cert=certificate,
        client_key=key,
        ca_file=os.fspath(authority.file),
    )
    with (
        receiving(notes("400 Bad"), asks_for_certificates()) as receiver,
        receiving(notes("204 No"), asks_for_certificates()) as graveyard,
    ):
        auth = (AuthSettings("api_key", key="hidden"),)
        delivery = DeliverySettings(dead_letter_url=graveyard.url)
        manager = delivering(receiver.url, delivery=delivery, http=http, auth=auth)
        manager.emit("publish_start")
        until(lambda: len(shown) == 2)
    (own, event), (others, letter) = shown
    assert own and event.headers["x-tenant"] == "acme" and event.headers["x-api-key"] == "hidden"
    assert not others and not {"x-tenant", "authorization", "x-api-key"} & set(letter.headers)


def test_dead_letters_that_nobody_takes_hold_up_nothing_and_are_bounded(delivering):
    with receiving(status("400 Bad")) as receiver, receiving(hangs) as graveyard:
        delivery = DeliverySettings(dead_letter_url=graveyard.url)
        manager = delivering(receiver.url, delivery=delivery, timeout_s=30)
        for batch in range(6):
            for number in range(200):
                manager.emit("publish_start", stream_key=str(number))
            until(lambda batch=batch: about(manager)["dead"] == {"refused": 200 * (batch + 1)})
        assert len(manager.dead_letters("ops")) == 100
        follower = manager._lanes["ops"].follower
        assert follower.queued <= 1000 and follower.dropped >= 199
        assert len(graveyard.requests) == 1


@proves("hooks.NAME.dead_letter_url")
def test_dead_letters_reach_their_url_before_the_end(delivering):
    with receiving(status("400 Bad")) as receiver, receiving(says(NO_CONTENT)) as graveyard:
        manager = delivering(receiver.url, delivery=DeliverySettings(dead_letter_url=graveyard.url))
        for number in range(30):
            manager.emit("publish_start", stream_key=str(number))
        manager.close(20)
        assert len(graveyard.requests) == 30
