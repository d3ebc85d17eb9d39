"""CloudEvents, read by the reference library."""

import json

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.event.event import Event
from rtmpd.hook.body.cloudevents import BinaryEncoder, StructuredEncoder, header_value
from rtmpd.hook.redelivery import TIMEOUT, again

EVENT = Event(
    "publish_start", 1634567890, "c000001", 'live/ü "100%"', {"app": "live", "n": [1.5]}, "evt_01", 3, "warning"
)
ENCODERS = (BinaryEncoder, StructuredEncoder)


def read(body):
    headers = {"content-type": body.content_type, **body.headers}
    return from_http(HTTPMessage(headers, body.content), JSONFormat(), CloudEvent)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_reference_library_reads_every_attribute(encoder):
    event = read(encoder("ingest 1").encode(EVENT))
    assert event.get_data() == {"app": "live", "n": [1.5]}
    assert (event.get_id(), event.get_type(), event.get_source()) == (
        "evt_01",
        "rtmpd.publish_start",
        "/rtmpd/ingest%201",
    )
    assert (event.get_subject(), event.get_datacontenttype()) == ('live/ü "100%"', "application/json")
    assert event.get_time().timestamp() == 1634567890
    extensions = {name: event.get_extension(name) for name in ("severity", "sequence", "connid")}
    assert extensions == {"severity": "warning", "sequence": "00000000000000000003", "connid": "c000001"}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_is_empty_is_left_out(encoder):
    event = read(encoder("n").encode(Event("server_start", 1634567890, id="evt_01")))
    assert event.get_subject() is None
    assert event.get_extension("connid") is None
    assert event.get_extension("attempt") is None


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_event_that_was_tried_before_says_so(encoder):
    event = read(encoder("n").encode(again(EVENT, 2, TIMEOUT)))
    assert (event.get_extension("attempt"), event.get_extension("redelivered")) == ("2", "timeout")


def test_the_content_types_are_those_of_the_binding():
    assert BinaryEncoder("n").encode(EVENT).content_type == "application/json"
    encoder = StructuredEncoder("n")
    assert encoder.encode(EVENT).content_type == "application/cloudevents+json; charset=utf-8"
    assert encoder.batch("bat_1", []).content_type == "application/cloudevents-batch+json; charset=utf-8"
    assert "ce-datacontenttype" not in BinaryEncoder("n").encode(EVENT).headers


def test_a_batch_is_an_array_of_events():
    encoder = StructuredEncoder("n")
    body = encoder.batch("bat_1", [encoder.item(EVENT), encoder.item(EVENT)])
    assert json.loads(body.content) == [json.loads(encoder.encode(EVENT).content)] * 2


def test_the_example_of_the_specification_is_encoded_like_that():
    assert header_value("Euro € 😀") == "Euro%20%E2%82%AC%20%F0%9F%98%80"
    assert header_value('a"%b') == "a%22%25b"
    assert header_value("!#$&'()*+,-./:;<=>?@[\\]^_`{|}~") == "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


@given(st.text())
def test_no_name_breaks_out_of_its_header(name):
    headers = BinaryEncoder("n").encode(Event("x", 1, "", name, {}, "evt_1")).headers
    assert all(value and all("!" <= letter <= "~" for letter in value) for value in headers.values())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_no_attribute_may_hold_is_left_out(encoder):
    event = Event("x", 1, "", "a\x00\n\x7f\x9f\ud800\ufdd0\uffff\U0010fffeb", {}, "evt_1")
    assert read(encoder("n").encode(event)).get_subject() == "ab"


@pytest.mark.parametrize("encoder", ENCODERS)
@given(name=st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1))
def test_a_name_of_ordinary_characters_comes_through(encoder, name):
    assert read(encoder("n").encode(Event("x", 1, "", name, {}, "evt_1"))).get_subject() == name
