"""Our own JSON: schema 1 as ever, schema 2, and batches."""

import json
from datetime import datetime

import pytest

from rtmpd.event.birth import Births
from rtmpd.event.event import Event
from rtmpd.hook.body.format import Form, JsonEncoder, TemplateEncoder, terms_of
from rtmpd.hook.body.schema import time_of
from rtmpd.hook.body.template import Template
from rtmpd.hook.redelivery import TIMEOUT, again

EVENT = Event("publish_start", 1634567890, "c000001", 'live/ü"', {"app": "live", "n": [1.5]}, "evt_01", 3, "warning")
FIVE = {
    "type": "publish_start",
    "timestamp": 1634567890,
    "conn_id": "c000001",
    "stream_key": 'live/ü"',
    "data": {"app": "live", "n": [1.5]},
}
MORE = {"id": "evt_01", "seq": 3, "severity": "warning", "time": "2021-10-18T14:38:10.000Z", "node": "n-1"}


def test_schema_1_is_the_json_of_the_event_byte_by_byte():
    body = JsonEncoder(1, "n-1").encode(EVENT)
    assert body == ("application/json", {"X-RTMP-Event-Version": "1"}, EVENT.json())
    assert json.loads(body.content) == FIVE


def test_schema_2_has_the_same_five_keys_and_then_the_others():
    body = JsonEncoder(2, "n-1").encode(EVENT)
    assert body.headers == {"X-RTMP-Event-Version": "2"}
    assert body.content.startswith(EVENT.json()[:-1])
    assert list(json.loads(body.content).items()) == list((FIVE | MORE).items())


@pytest.mark.parametrize("schema", [1, 2])
def test_a_batch_is_an_envelope_with_the_events_in_schema_2(schema):
    encoder = JsonEncoder(schema, "n-1")
    body = encoder.batch("bat_1", [encoder.item(EVENT), encoder.item(again(EVENT, 4, TIMEOUT))])
    assert (body.content_type, body.headers) == ("application/json", {"X-RTMP-Event-Version": "2"})
    tries = {"attempt": 4, "redelivered": "timeout"}
    assert json.loads(body.content) == {"batch_id": "bat_1", "events": [FIVE | MORE, FIVE | MORE | tries]}


def test_the_body_of_one_event_is_the_same_in_each_try():
    for form in (Form(), Form("json", 2)):
        encoder = terms_of(form, "n").single
        assert encoder.encode(again(EVENT, 2, TIMEOUT)) == encoder.encode(EVENT)


@pytest.mark.parametrize("wall", [0.0, 1634567890.0, 1634567890.001, 1634567890.9996, 4102444800.25])
def test_the_time_has_the_milliseconds_of_the_birth(wall):
    event = Births(lambda: wall, bytes).event("server_start", "", "", {})
    assert time_of(event).endswith(f".{int(wall * 1000) % 1000:03}Z")
    assert int(datetime.fromisoformat(time_of(event)).timestamp()) == event.timestamp


def test_the_time_after_the_clock_was_set_back_has_no_milliseconds():
    walls = iter([1634567890.5, 1634567890.5, 1634567000.5, 1634567000.5])
    births = Births(lambda: next(walls), bytes)
    births.event("server_start", "", "", {})
    births = births.event("server_start", "", "", {})
    assert time_of(Event("x", 1634567000, id=births.id)) == "2021-10-18T14:23:20.000Z"


@pytest.mark.parametrize("id", ["", "evt_01", "evt_UUUUUUUUUUUUUUUUUUUUUUUUUU", "evt_ü123456789"])
def test_the_time_of_an_event_with_another_id_is_its_second(id):
    assert time_of(Event("x", 1634567890, id=id)) == "2021-10-18T14:38:10.000Z"


def test_only_forms_that_have_batches_get_them():
    assert terms_of(Form(), "n", 1).batch is None
    assert terms_of(Form(), "n", 5).batch is not None
    assert terms_of(Form("cloudevents-structured"), "n", 5).batch is not None
    assert terms_of(Form("cloudevents-binary"), "n", 5).batch is None


def test_a_template_has_its_content_type():
    body = TemplateEncoder(Template("{{ node }}: {{ type }}", "text/plain"), "n-1").encode(EVENT)
    assert body == ("text/plain", {}, b"n-1: publish_start")
