"""Batches in one request, as a receiver sees them, and what becomes of each event."""

import json
import time

import pytest
import standardwebhooks

from rtmpd.clock import Clock
from rtmpd.errors import PermanentDeliveryError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.body.format import batch_event, cut, results_of
from rtmpd.hook.build import build_hook
from rtmpd.hook.manager import HookManager
from rtmpd.hook.redelivery import TIMEOUT, again
from rtmpd.settings import (
    AuthSettings,
    BodySettings,
    DeliverySettings,
    HookSettings,
    HooksSettings,
    RetrySettings,
)
from tests.support.receiver import NO_CONTENT, hangs, receiving, says, status
from tests.support.waiting import until

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENTS = [Event("publish_start", 1634567890, "c000001", f"live/{n}", {"app": "live"}, f"evt_0{n}", n) for n in range(5)]
IDS = [event.id for event in EVENTS]


def webhook(url, *auth, most=100, most_bytes=0, **body):
    delivery = DeliverySettings(batch_events=most, batch_bytes=most_bytes)
    settings = HookSettings("hook", "webhook", url, auth=auth, delivery=delivery, body=BodySettings(**body))
    return build_hook(settings, Clock())


def deliver(hook, events=EVENTS, seconds=20.0):
    try:
        return hook.execute_batch(events, time.monotonic() + seconds)
    finally:
        hook.close()


def ids_of(request):
    body = json.loads(request.body)
    return [event["id"] for event in (body["events"] if isinstance(body, dict) else body)]


def answers(*lines):
    """One answer after the other."""
    left = list(lines)

    def answer(sock, request):
        return status(left.pop(0))(sock, request)

    return answer


def result(line, *rows):
    body = json.dumps({"results": [{"id": id, "status": code} for id, code in rows]}).encode()
    return says(f"HTTP/1.1 {line}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def test_a_2xx_answer_delivers_all_of_one_request():
    with receiving(says(NO_CONTENT)) as receiver:
        assert deliver(webhook(receiver.url)) == [None] * 5
    (request,) = receiver.requests
    about = batch_event(EVENTS)
    assert json.loads(request.body)["batch_id"] == request.headers["x-rtmp-batch-id"] == about.id
    assert ids_of(request) == IDS
    assert request.headers["x-rtmp-batch-size"] == "5"
    assert request.headers["x-rtmp-event-version"] == "2"
    assert request.headers["content-length"] == str(len(request.body))
    assert "x-rtmp-event-id" not in request.headers


def test_a_batch_of_one_is_a_batch_too():
    with receiving(says(NO_CONTENT)) as receiver:
        assert deliver(webhook(receiver.url), EVENTS[:1]) == [None]
    assert ids_of(receiver.requests[0]) == IDS[:1]


def test_the_id_of_a_batch_is_that_of_its_events_in_their_order():
    assert batch_event(EVENTS).id == batch_event([again(event, 2, TIMEOUT) for event in EVENTS]).id
    assert len({batch_event(some).id for some in (EVENTS, EVENTS[::-1], EVENTS[1:], EVENTS[:1])}) == 4
    assert batch_event(EVENTS).id.startswith("bat_") and "." not in batch_event(EVENTS).id


def test_a_signature_covers_the_whole_batch_under_its_id():
    auth = AuthSettings("standard", secret=WHSEC), AuthSettings("github", secret="hub")
    with receiving(says(NO_CONTENT)) as receiver:
        deliver(webhook(receiver.url, *auth))
    request = receiver.requests[0]
    standardwebhooks.Webhook(WHSEC).verify(request.body, request.headers)
    assert request.headers["webhook-id"] == request.headers["x-github-delivery"] == batch_event(EVENTS).id
    assert request.headers["x-github-event"] == "batch"


def test_cloudevents_have_the_type_of_a_batch():
    with receiving(says(NO_CONTENT)) as receiver:
        deliver(webhook(receiver.url, format="cloudevents-structured"))
    request = receiver.requests[0]
    assert request.headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert ids_of(request) == IDS


def test_an_event_that_was_tried_before_says_so_in_the_batch():
    with receiving(says(NO_CONTENT)) as receiver:
        deliver(webhook(receiver.url), [EVENTS[0], again(EVENTS[1], 3, TIMEOUT)])
    first, second = json.loads(receiver.requests[0].body)["events"]
    assert "attempt" not in first and (second["attempt"], second["redelivered"]) == (3, "timeout")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("400 No", PermanentDeliveryError),
        ("413 No", PermanentDeliveryError),
        ("422 No", PermanentDeliveryError),
        ("401 No", PermanentDeliveryError),
        ("429 No", TransientDeliveryError),
        ("503 No", TransientDeliveryError),
    ],
)
def test_what_becomes_of_all_is_raised(line, kind):
    with receiving(status(line)) as receiver, pytest.raises(kind) as raised:
        deliver(webhook(receiver.url))
    assert raised.value.code == f"status:{line[:3]}"
    assert len(receiver.requests) == 1


def test_a_batch_that_takes_too_long_is_cut_at_the_deadline():
    with receiving(hangs) as receiver, pytest.raises(TransientDeliveryError, match="timed out"):
        deliver(webhook(receiver.url), seconds=0.1)


def test_the_lane_gathers_and_sends_them_in_their_order():
    delivery = DeliverySettings(batch_events=10, batch_age_s=0.05, batch_bytes=0)
    with receiving(says(NO_CONTENT)) as receiver:
        hook = HookSettings("hook", "webhook", receiver.url, delivery=delivery)
        manager = HookManager(HooksSettings((hook,)), Clock())
        for number in range(25):
            manager.emit("publish_start", conn_id="c000001", stream_key="live/a", app=str(number))
        until(lambda: sum(len(ids_of(request)) for request in receiver.requests) == 25)
        manager.close(5.0)
    sent = [event["data"]["app"] for request in receiver.requests for event in json.loads(request.body)["events"]]
    assert sent == [str(number) for number in range(25)]
    assert len(receiver.requests) <= 4


def test_the_lane_finds_who_is_to_blame():
    def refuses(sock, request):
        apps = [event["data"]["app"] for event in json.loads(request.body)["events"]]
        good.extend(apps if "3" not in apps else [])
        return status("422 No" if "3" in apps else "200 OK")(sock, request)

    good = []
    delivery = DeliverySettings(batch_events=10, batch_age_s=0.05)
    retry = RetrySettings(max_attempts=3)
    with receiving(refuses) as receiver:
        hook = HookSettings("hook", "webhook", receiver.url, delivery=delivery, retry=retry)
        manager = HookManager(HooksSettings((hook,)), Clock())
        for number in range(8):
            manager.emit("publish_start", conn_id="c000001", stream_key=f"live/{number}", app=str(number))
        until(lambda: len(good) >= 7)
        manager.close(5.0)
    assert sorted(good) == ["0", "1", "2", "4", "5", "6", "7"]


# --- results of each ------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["200 OK", "207 Multi-Status"])
def test_an_answer_can_tell_of_each_event(line):
    rows = [("evt_03", 503), ("evt_01", 422), ("evt_00", 200), ("evt_99", 500)]
    with receiving(result(line, *rows)) as receiver:
        outcomes = deliver(webhook(receiver.url))
    assert [outcome and outcome.code for outcome in outcomes] == [None, "status:422", None, "status:503", None]
    assert isinstance(outcomes[1], PermanentDeliveryError)
    assert isinstance(outcomes[3], TransientDeliveryError)


@pytest.mark.parametrize("body", [b"", b"ok", b"[]", b"{}", b'{"results":7}', b'{"results":[{"id":"evt_01"}]}'])
def test_another_body_means_nothing_except_where_the_status_promises_one(body):
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n"
    with receiving(says(head % (b"200 OK", len(body)) + body)) as receiver:
        assert deliver(webhook(receiver.url)) == [None] * 5
    answer = says(head % (b"207 Multi", len(body)) + body)
    with receiving(answer) as receiver, pytest.raises(TransientDeliveryError) as raised:
        deliver(webhook(receiver.url))
    assert raised.value.code == "results_unreadable"


def test_results_that_are_too_long_are_not_believed():
    rows = [(f"evt_{n:026}", 200) for n in range(10_000)]
    with receiving(result("207 Multi-Status", *rows)) as receiver, pytest.raises(TransientDeliveryError):
        deliver(webhook(receiver.url))


@pytest.mark.parametrize(
    "text",
    ["", "[", "null", "1", '"results"', '{"results":{}}x', '{"results":null}', '{"results":["a"]}',
     '{"results":[{"id":[],"status":200}]}', '{"results":[{"id":"a","status":true}]}',
     '{"results":[{"id":"a","status":"200"}]}', '{"results":[{"id":"a","status":99}]}',
     '{"results":[{"id":1,"status":200}]}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_list_of_results_is_none(text):
    assert results_of(text.encode()) is None


# --- several requests -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "most", "most_bytes", "pieces"),
    [
        ([1, 1, 1, 1, 1], 2, 0, [2, 2, 1]),
        ([1, 1, 1, 1, 1], 9, 3, [3, 2]),
        ([2, 2, 2, 9, 2], 9, 4, [2, 1, 1, 1]),
        ([9, 9], 9, 4, [1, 1]),
        ([9, 9], 9, 0, [2]),
        ([], 9, 4, []),
    ],
)
def test_batches_are_cut_by_number_and_by_size(sizes, most, most_bytes, pieces):
    items = [(EVENTS[number], b"x" * size) for number, size in enumerate(sizes)]
    found = list(cut(items, most, most_bytes))
    assert [len(piece) for piece in found] == pieces
    assert [item for piece in found for item in piece] == items


def test_a_batch_that_is_too_large_goes_in_several_requests():
    with receiving(says(NO_CONTENT)) as receiver:
        assert deliver(webhook(receiver.url, most_bytes=500)) == [None] * 5
    assert [ids_of(request) for request in receiver.requests] == [IDS[:2], IDS[2:4], IDS[4:]]


def test_what_was_delivered_before_a_failure_is_delivered():
    with receiving(answers("204 No Content", "503 No")) as receiver:
        outcomes = deliver(webhook(receiver.url, most_bytes=500))
    assert [outcome and outcome.code for outcome in outcomes] == [None, None, *["status:503"] * 3]
    assert len(receiver.requests) == 2


def test_a_part_that_is_refused_is_sent_in_halves_down_to_who_is_to_blame():
    def refuses_the_third(sock, request):
        return status("422 No" if "evt_02" in ids_of(request) else "200 OK")(sock, request)

    with receiving(refuses_the_third) as receiver:
        outcomes = deliver(webhook(receiver.url, most_bytes=500))
    assert [outcome and outcome.code for outcome in outcomes] == [None, None, "status:422", None, None]
    assert [ids_of(request) for request in receiver.requests] == [IDS[:2], IDS[2:4], IDS[2:3], IDS[3:4], IDS[4:]]


def test_half_of_a_part_that_was_delivered_stays_delivered():
    with receiving(answers("200 OK", "400 No", "200 OK", "503 No")) as receiver:
        outcomes = deliver(webhook(receiver.url, most_bytes=500))
    assert [outcome and outcome.code for outcome in outcomes] == [None, None, None, *["status:503"] * 2]
