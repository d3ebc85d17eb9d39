"""The contract as JSON Schema and AsyncAPI."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from rtmpd.event import schema
from rtmpd.event.birth import Births
from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.event.example import CONN_ID, STREAM_KEY, example_data
from rtmpd.event.pairing import AFTER_CRASH, SERVER_CRASH, STOP_TYPES, end_by_crash, told_by_crash
from rtmpd.hook.body.schema import schema_2
from scripts.papers import asyncapi
from tests import contract

WHOLE = Draft202012Validator(schema.document(), format_checker=Draft202012Validator.FORMAT_CHECKER)
BIRTHS = Births(lambda: 1_700_000_000.125, lambda size: bytes(size))


def body(type: str) -> dict[str, Any]:
    event = BIRTHS.event(type, CONN_ID, STREAM_KEY, example_data(type))
    parsed: dict[str, Any] = json.loads(event.json())
    return parsed


def complaints(event: object) -> list[str]:
    return [error.message for error in WHOLE.iter_errors(event)]


def test_both_are_schemas() -> None:
    Draft202012Validator.check_schema(schema.document())
    for type in EVENT_TYPES:
        Draft202012Validator.check_schema(schema.schema_of(type))


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_both_schemas_of_a_body_fit(type: str) -> None:
    assert complaints(body(type)) == contract.faults([body(type)]) == []
    event = BIRTHS.event(type, "", "", example_data(type))
    assert complaints(json.loads(schema_2(event, "node"))) == []


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_a_field_that_is_missing_unknown_or_of_another_type_does_not_fit(type: str) -> None:
    good = body(type)
    for field in EVENT_TYPES[type].fields:
        lacking, wrong = copy.deepcopy(good), copy.deepcopy(good)
        lacking["data"].pop(field.name, None)  # an example has nothing that only a crash leaves
        wrong["data"][field.name] = None
        assert bool(complaints(lacking)) != field.optional
        assert complaints(wrong)
    assert complaints({**good, "data": {**good["data"], "other": 1}})
    assert complaints({**good, "other": 1})


def test_a_value_that_the_catalogue_does_not_list_does_not_fit() -> None:
    event = body("performance_alert")
    event["data"]["state"] = "risen"
    assert complaints(event) == ["'risen' is not one of ['raised', 'cleared']"]


@pytest.mark.parametrize("change", [{"type": "no_such"}, {"timestamp": 1.5}, {"conn_id": "1"}, {"id": "evt_short"}])
def test_an_envelope_that_is_not_as_promised_does_not_fit(change: dict[str, object]) -> None:
    assert complaints({**body("publish_start"), **change})


@pytest.mark.parametrize("key", schema.ENVELOPE)
def test_no_key_of_the_envelope_may_be_missing(key: str) -> None:
    event = body("publish_start")
    del event[key]
    assert complaints(event)


def test_the_end_of_what_a_crash_cut_short_fits_without_its_counters() -> None:
    start = body("publish_start")
    end = end_by_crash("publish_start", 1, CONN_ID, STREAM_KEY, start["data"], 3.0)
    event = {**start, "type": end.type, "data": end.data}
    assert complaints(event) == []
    known = ["app", "session_id", "client_ip", "identity", "reason", "last_seen", "at_least_sec"]
    assert list(end.data) == told_by_crash(end.type) == known
    assert (end.data["reason"], end.data["last_seen"], end.data["at_least_sec"]) == (SERVER_CRASH, 3, 2.0)
    event["data"] = {name: value for name, value in end.data.items() if name not in ("last_seen", "at_least_sec")}
    assert complaints(event)  # any other end knows them


def test_what_began_after_the_last_sign_of_life_lasted_no_time_that_is_known() -> None:
    end = end_by_crash("publish_start", 10.75, CONN_ID, STREAM_KEY, body("publish_start")["data"], 3.0)
    assert (end.data["last_seen"], end.data["at_least_sec"]) == (10, 0.0)


def test_every_end_is_told_by_a_crash_with_at_least_what_tells_it_apart() -> None:
    for stop in STOP_TYPES - {"connection_close", "stream_delete"}:  # told apart by the envelope
        assert {"session_id", "pid"} & set(told_by_crash(stop)), stop


# --- AsyncAPI -----------------------------------------------------------------------------------


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for value in node for ref in references(value)] if isinstance(node, list) else []


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi.document("1.0")
    beside = {asyncapi.SCHEMA_FILE: schema.document(), "": document}
    refs = references(document)
    assert len(refs) > 4 * len(EVENT_TYPES)
    for ref in refs:
        file, _, pointer = ref.partition("#/")
        node: Any = beside[file]
        for step in pointer.split("/"):
            node = node[step]
    assert Path(asyncapi.SCHEMA_FILE).name == "events.schema.json"


def test_every_channel_sends_every_type() -> None:
    document = asyncapi.document("1.0")
    assert set(document["channels"]) == {"webhook", "script", "worker", "stdio"}
    for channel in document["channels"].values():
        assert list(channel["messages"]) == list(EVENT_TYPES)


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_the_variables_of_a_script_are_those_that_it_is_given(type: str) -> None:
    given = BIRTHS.event(type, CONN_ID, STREAM_KEY, example_data(type)).as_env()
    message = asyncapi.document("1.0")["components"]["messages"][f"script_{type}"]
    after_crash = {f"RTMP_{name.upper()}" for name in AFTER_CRASH}  # which an example does not have
    assert set(given) == set(message["payload"]["properties"]) - after_crash
    assert not list(Draft202012Validator(message["payload"]).iter_errors(given))
