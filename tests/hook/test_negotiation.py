"""The handshake before the first event: what is asked, what an answer means, and when it is asked again."""

import json
import time

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.clock import Clock
from rtmpd.errors import AuthDeliveryError, DeliveryError, PermanentDeliveryError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.body.format import Form
from rtmpd.hook.body.negotiation import AGAIN_S, VALID_S, Agreement, offer, read_answer
from rtmpd.hook.build import build_hook
from rtmpd.settings import (
    AuthSettings,
    BodySettings,
    DeliverySettings,
    FilterSettings,
    HookSettings,
    HttpSettings,
    RateLimit,
)
from tests.support.receiver import NO_CONTENT, hangs, receiving, says, status

EVENTS = [Event("publish_start", 1634567890, "c000001", f"live/{n}", {"app": "live"}, f"evt_0{n}", n) for n in range(5)]
FORMS = [Form("json", 2), Form("json", 1), Form("cloudevents-structured"), Form("cloudevents-binary")]


class ShiftedClock(Clock):
    """A clock that is set forward by hand."""

    shift_s = 0.0

    def monotonic(self):
        return super().monotonic() + self.shift_s


def webhook(url, negotiate="lazy", clock=None, most=1, http=None, auth=(), rate=None, **body):
    settings = HookSettings(
        "hook",
        "webhook",
        url,
        delivery=DeliverySettings(batch_events=most),
        filter=FilterSettings(rate_limit=rate),
        auth=auth,
        http=http or HttpSettings(),
        body=BodySettings(negotiate=negotiate, node="n-1", **body),
    )
    return build_hook(settings, clock or Clock())


def post(hook, event=EVENTS[0], seconds=20.0, clock=None):
    hook.execute(event, (clock or Clock()).monotonic() + seconds)


def options(receiver):
    return [request for request in receiver.requests if request.head.startswith("OPTIONS ")]


def posts(receiver):
    return [request for request in receiver.requests if request.head.startswith("POST ")]


def agrees(*headers, line="200 OK", to_posts="204 No Content"):
    """Answers OPTIONS with these headers."""
    rows = "".join(f"{header}\r\n" for header in headers)
    consent = says(f"HTTP/1.1 {line}\r\n{rows}Content-Length: 0\r\n\r\n".encode())

    def answer(sock, request):
        return (consent if request.head.startswith("OPTIONS ") else status(to_posts))(sock, request)

    return answer


ALL = "WebHook-Allowed-Origin: *"


# --- what is asked --------------------------------------------------------------------------------


def test_the_request_says_who_asks_for_what():
    http = HttpSettings(headers=(("X-Source", "a"),))
    hook_of = {"schema": 2, "most": 50, "rate": RateLimit(10, 30.0), "http": http}
    with receiving(agrees(ALL)) as receiver:
        hook = webhook(receiver.url, auth=(AuthSettings("hmac", secret="s"),), **hook_of)
        post(hook)
        hook.close()
    (request,) = options(receiver)
    assert request.head.startswith("OPTIONS /hook?token=secret HTTP/1.1\r\n") and request.body == b""
    formats = "json;schema=2, json;schema=1, cloudevents;mode=structured, cloudevents;mode=binary, batch;max=50"
    expected = {
        "webhook-request-origin": "n-1",
        "webhook-request-formats": formats,
        "webhook-request-rate": "20",
        "x-source": "a",
    }
    assert expected.items() <= request.headers.items()
    assert not {"x-signature", "content-type", "x-rtmp-event-id"} & set(request.headers)


def test_the_configured_form_is_offered_first():
    with receiving(agrees(ALL)) as receiver:
        hook = webhook(receiver.url, format="cloudevents-binary")
        post(hook)
        hook.close()
    assert options(receiver)[0].headers["webhook-request-formats"].startswith("cloudevents;mode=binary, json;schema=2")


def test_without_a_limit_no_rate_and_without_batches_no_batch_is_asked_for():
    assert offer("n", [Form()], 1, None) == {
        "WebHook-Request-Origin": "n",
        "WebHook-Request-Formats": "json;schema=1",
    }


def test_nothing_is_asked_if_it_is_off():
    with receiving(says(NO_CONTENT)) as receiver:
        hook = webhook(receiver.url, "off")
        post(hook)
        assert hook.allowed_rate is None
        hook.close()
    assert [request.head.split()[0] for request in receiver.requests] == ["POST"]
    assert "webhook-request-origin" not in receiver.requests[0].headers


# --- what an answer means -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "agreement"),
    [
        ({}, None),
        ({"WebHook-Allowed-Origin": "other"}, None),
        ({"WebHook-Allowed-Origin": "*"}, Agreement()),
        ({"webhook-allowed-origin": " N-1 "}, Agreement()),
        ({"WebHook-Allowed-Formats": "json;schema=2"}, None),
    ],
)
def test_consent_is_a_header(headers, agreement):
    assert read_answer(headers, "n-1", 50) == agreement


@pytest.mark.parametrize(
    ("formats", "form", "batch_events"),
    [
        ("json;schema=2", Form("json", 2), 1),
        ("JSON; schema=2 , batch; max=20", Form("json", 2), 20),
        ("cloudevents;mode=binary", Form("cloudevents-binary"), 1),
        ("avro, cloudevents;mode=structured, json;schema=1", Form("cloudevents-structured"), 1),
        ("json;schema=3", Form(), 1),
        ("batch", Form(), 50),
        ("batch;max=500", Form(), 50),
        ("batch;max=0", Form(), 1),
        ("batch;max=x", Form(), 1),
        ("", Form(), 1),
    ],
)
def test_the_first_format_that_was_offered_is_taken(formats, form, batch_events):
    headers = {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Formats": formats}
    assert read_answer(headers, "n", 50) == Agreement(form, batch_events)


@pytest.mark.parametrize(("rate", "per_minute"), [("120", 120), ("*", None), ("0", None), ("x", None), ("", None)])
def test_a_rate_is_requests_a_minute(rate, per_minute):
    headers = {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": rate}
    answer = read_answer(headers, "n", 1)
    assert answer and answer.per_minute == per_minute


HEADERS = st.sampled_from(["WebHook-Allowed-Origin", "WebHook-Allowed-Formats", "WebHook-Allowed-Rate"])


@given(st.dictionaries(HEADERS, st.text() | st.just("*")))
def test_no_answer_breaks_it(headers):
    answer = read_answer(headers, "n", 50)
    assert answer is None or (answer.form in FORMS and 1 <= answer.batch_events <= 50)


def test_what_was_agreed_is_sent():
    with receiving(agrees(ALL, "WebHook-Allowed-Formats: cloudevents;mode=binary")) as receiver:
        hook = webhook(receiver.url, schema=2)
        post(hook)
        post(hook)
        hook.close()
    assert len(options(receiver)) == 1
    for request in posts(receiver):
        assert request.headers["ce-id"] == "evt_00"
        assert request.headers["webhook-request-origin"] == "n-1"


@pytest.mark.parametrize("answer", [agrees(), agrees(line="405 No"), agrees("WebHook-Allowed-Origin: other"),
                                    agrees(line="503 No")])  # fmt: skip
def test_without_consent_lazy_sends_schema_1_one_by_one(answer):
    with receiving(answer) as receiver:
        hook = webhook(receiver.url, schema=2, most=50)
        assert hook.execute_batch(EVENTS[:2], time.monotonic() + 20) == [None, None]
        hook.close()
    assert [request.body for request in posts(receiver)] == [event.json() for event in EVENTS[:2]]


def test_an_endpoint_that_never_answers_options_gets_its_events_if_that_is_lazy():
    def only_posts(sock, request):
        return (hangs if request.head.startswith("OPTIONS ") else says(NO_CONTENT))(sock, request)

    with receiving(only_posts) as receiver:
        hook = webhook(receiver.url)
        post(hook, seconds=1.0)
        hook.close()
    assert len(posts(receiver)) == 1


@pytest.mark.parametrize("answer", [agrees(), agrees(line="405 No"), agrees("WebHook-Allowed-Origin: other"),
                                    agrees(line="503 No")])  # fmt: skip
def test_without_consent_nothing_is_sent_if_it_is_required(answer):
    with receiving(answer) as receiver:
        hook = webhook(receiver.url, "required")
        for _ in range(2):
            with pytest.raises(AuthDeliveryError) as raised:
                post(hook)
            assert raised.value.code == "no_consent"
        hook.close()
    assert len(options(receiver)) == 2 and not posts(receiver)


def test_batches_have_at_most_the_size_that_was_agreed():
    with receiving(agrees(ALL, "WebHook-Allowed-Formats: json;schema=2, batch;max=2")) as receiver:
        hook = webhook(receiver.url, most=50)
        assert hook.execute_batch(EVENTS, time.monotonic() + 20) == [None] * 5
        hook.close()
    assert [len(json.loads(request.body)["events"]) for request in posts(receiver)] == [2, 2, 1]


def test_one_by_one_an_event_that_is_refused_does_not_stop_the_others():
    def answer(sock, request):
        if request.head.startswith("OPTIONS "):
            return status("200 OK")(sock, request)
        return status("422 No" if b"live/1" in request.body else "200 OK")(sock, request)

    with receiving(answer) as receiver:
        hook = webhook(receiver.url, most=50)
        outcomes = hook.execute_batch(EVENTS, time.monotonic() + 20)
        hook.close()
    assert [isinstance(outcome, PermanentDeliveryError) for outcome in outcomes] == [False, True, False, False, False]
    assert len(posts(receiver)) == 5


def test_one_by_one_an_endpoint_that_fails_is_not_asked_for_the_rest():
    with receiving(agrees(to_posts="503 No")) as receiver:
        hook = webhook(receiver.url, most=50)
        with pytest.raises(TransientDeliveryError):
            hook.execute_batch(EVENTS, time.monotonic() + 20)
        hook.close()
    assert len(posts(receiver)) == 1


# --- rate -----------------------------------------------------------------------------------------


def test_over_the_agreed_rate_nothing_is_sent_and_the_error_says_when():
    clock = ShiftedClock()
    with receiving(agrees(ALL, "WebHook-Allowed-Rate: 120")) as receiver:
        hook = webhook(receiver.url, clock=clock)
        post(hook, clock=clock)
        post(hook, clock=clock)
        with pytest.raises(AuthDeliveryError) as raised:
            post(hook, clock=clock)
        assert (raised.value.code, hook.allowed_rate) == ("over_rate", 2.0)
        assert 0 < raised.value.retry_after_s <= 0.5
        clock.shift_s += raised.value.retry_after_s
        post(hook, clock=clock)
        hook.close()
    assert len(posts(receiver)) == 3


# --- again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "seconds"), [(agrees(ALL), VALID_S), (agrees(line="503 No"), AGAIN_S)])
def test_an_agreement_holds_for_a_day_and_no_answer_for_a_minute(answer, seconds):
    clock = ShiftedClock()
    with receiving(answer) as receiver:
        hook = webhook(receiver.url, clock=clock)
        for shift_s, asked in ((0, 1), (seconds - 10, 1), (20, 2), (1, 2)):
            clock.shift_s += shift_s
            post(hook, clock=clock)
            assert len(options(receiver)) == asked
        hook.close()


def test_what_was_agreed_holds_on_while_nobody_answers():
    clock = ShiftedClock()
    lines = [ALL, "WebHook-Allowed-Formats: json;schema=2"]

    def answer(sock, request):
        if len(options(receiver)) > 1 and request.head.startswith("OPTIONS "):
            return status("503 No")(sock, request)
        return agrees(*lines)(sock, request)

    with receiving(answer) as receiver:
        hook = webhook(receiver.url, "required", clock=clock)
        post(hook, clock=clock)
        clock.shift_s += VALID_S + 1
        post(hook, clock=clock)
        hook.close()
    assert len(options(receiver)) == 2
    assert [json.loads(request.body)["node"] for request in posts(receiver)] == ["n-1", "n-1"]


def test_a_consent_can_be_taken_back():
    clock = ShiftedClock()

    def answer(sock, request):
        return agrees(*([ALL] if len(options(receiver)) < 2 else []))(sock, request)

    with receiving(answer) as receiver:
        hook = webhook(receiver.url, "required", clock=clock)
        post(hook, clock=clock)
        clock.shift_s += VALID_S + 1
        with pytest.raises(AuthDeliveryError):
            post(hook, clock=clock)
        hook.close()
    assert len(posts(receiver)) == 1


def test_a_receiver_that_does_not_understand_the_format_is_asked_again():
    with receiving(agrees(ALL, to_posts="415 What")) as receiver:
        hook = webhook(receiver.url)
        for _ in range(2):
            with pytest.raises(DeliveryError):
                post(hook)
        hook.close()
    assert len(options(receiver)) == 2


def test_many_events_at_once_ask_once():
    def slowly(sock, request):
        gevent.sleep(0.05)
        return agrees(ALL)(sock, request)

    with receiving(slowly) as receiver:
        hook = webhook(receiver.url)
        gevent.joinall([gevent.spawn(post, hook, event) for event in EVENTS], raise_error=True)
        hook.close()
    assert (len(options(receiver)), len(posts(receiver))) == (1, 5)
