"""An event's JSON and its environment."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpd.event.event import ENV_TOTAL_BYTES, ENV_VALUE_BYTES, Event

ACCEPT = {"client_ip": "192.168.1.100", "client_port": 54321, "server_ip": "0.0.0.0", "server_port": 1935}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def accept():
    return Event("connection_accept", 1634567890, "c000001", "", dict(ACCEPT), "evt_1", 7)


def test_json_is_byte_for_byte_the_documented_sample():
    assert accept().json() == (
        b'{"type":"connection_accept","timestamp":1634567890,"conn_id":"c000001","stream_key":"","data":'
        b'{"client_ip":"192.168.1.100","client_port":54321,"server_ip":"0.0.0.0","server_port":1935}}'
    )


def test_json_always_has_the_five_keys_in_order():
    assert Event("server_stop", 5).json() == (
        b'{"type":"server_stop","timestamp":5,"conn_id":"","stream_key":"","data":{}}'
    )


def test_json_keeps_text_as_it_is_and_markup_too():
    event = Event("publish_start", 5, "c1", "live/äöü<&>", {"encoder": "\u2028"})
    assert '"live/äöü<&>"'.encode() in event.json()
    assert "\u2028".encode() in event.json()


def test_json_has_null_for_what_is_not_a_number():
    event = Event("x", 5, data={"a": float("nan"), "b": [float("inf"), {"c": -float("inf")}], "d": 3.5})
    assert json.loads(event.json())["data"] == {"a": None, "b": [None, {"c": None}], "d": 3.5}


def test_json_is_made_once():
    event = accept()
    assert event.json() is event.json()


def test_a_half_of_a_surrogate_pair_does_not_stop_the_json():
    assert json.loads(Event("x", 5, stream_key="live/\ud800").json())["stream_key"] == "live/?"


@settings(max_examples=40)
@given(st.dictionaries(st.text(), values))
def test_any_data_gives_json_and_an_environment(data):
    event = Event("x", 5, data=data)
    assert list(json.loads(event.json())) == ["type", "timestamp", "conn_id", "stream_key", "data"]
    assert b"\n" not in event.json()
    env = event.as_env()
    assert all(name.replace("_", "A").isalnum() and name.isascii() and name == name.upper() for name in env)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for value in env.values() for char in value)


def test_an_object_that_holds_itself_is_cut():
    loop: list[object] = []
    loop.append(loop)
    assert Event("x", 5, data={"loop": loop}).json()


def test_what_happens_to_the_emitters_objects_later_does_not_change_the_event():
    streams = ["a"]
    data: dict[str, object] = {"streams": streams}
    event = Event("x", 5, data=data)
    streams.append("b")
    data["more"] = 1
    assert json.loads(event.json())["data"] == {"streams": ["a"]}


def test_an_event_can_not_be_changed():
    event = accept()
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.type = "other"
    with pytest.raises(TypeError):
        event.data["client_ip"] = "other"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Event("publish_start", 5, "c000001", "live/a"), "publish_start:live/a"),
        (Event("connection_accept", 5, "c000001"), "connection_accept:c000001"),
        (Event("server_start", 5), "server_start"),
    ],
)
def test_an_event_is_written_as_its_type_and_subject(event, text):
    assert str(event) == text


# --- environment ----------------------------------------------------------------------------------


def test_the_environment_has_the_documented_names_and_values():
    assert accept().as_env() == {
        "RTMP_EVENT_TYPE": "connection_accept",
        "RTMP_TIMESTAMP": "1634567890",
        "RTMP_CONN_ID": "c000001",
        "RTMP_EVENT_ID": "evt_1",
        "RTMP_EVENT_SEQ": "7",
        "RTMP_SEVERITY": "info",
        "RTMP_CLIENT_IP": "192.168.1.100",
        "RTMP_CLIENT_PORT": "54321",
        "RTMP_SERVER_IP": "0.0.0.0",
        "RTMP_SERVER_PORT": "1935",
    }


def test_connection_and_stream_are_in_the_environment_only_if_there_is_one():
    assert not {"RTMP_CONN_ID", "RTMP_STREAM_KEY"} & set(Event("server_start", 5).as_env())
    assert Event("publish_start", 5, "c1", "live/a").as_env()["RTMP_STREAM_KEY"] == "live/a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"), (False, "false"), (3.5, "3.5"), (0.1, "0.1"), (12, "12"), (None, ""), ("", ""),
        ({"a": [1, True, "ü"]}, '{"a":[1,true,"ü"]}'), (float("nan"), ""), ("a\nb\x00c\x1b[1m\x85d", "abc[1md"),
    ],
)  # fmt: skip
def test_values_of_the_environment(value, text):
    assert Event("x", 5, data={"value": value}).as_env()["RTMP_VALUE"] == text


def test_names_outside_of_the_alphabet_are_made_to_fit():
    assert Event("x", 5, data={"a.b-ü": "1"}).as_env()["RTMP_A_B__"] == "1"


@pytest.mark.parametrize("key", ["stream_key", "conn_id", "event_type", "timestamp", "severity", "event_id"])
def test_data_can_not_hide_a_fixed_name(key):
    plain = Event("x", 5, "c1", "live/a", {}, "evt_1", 3, "warning").as_env()
    assert Event("x", 5, "c1", "live/a", {key: "forged"}, "evt_1", 3, "warning").as_env() == plain


def test_a_fixed_name_that_is_not_set_can_not_be_forged_either():
    assert "RTMP_STREAM_KEY" not in Event("x", 5, data={"stream_key": "forged"}).as_env()


def test_only_names_of_the_catalogue_reach_the_environment():
    env = Event("publish_start", 5, data={"app": "live", "ld_preload": "evil"}).as_env()
    assert env["RTMP_APP"] == "live"
    assert "RTMP_LD_PRELOAD" not in env


def test_a_long_value_is_cut_between_characters():
    value = Event("x", 5, data={"value": "a" + "ü" * ENV_VALUE_BYTES}).as_env()["RTMP_VALUE"]
    assert value == "a" + "ü" * ((ENV_VALUE_BYTES - 1) // 2)


def test_the_whole_environment_is_bounded():
    env = Event("x", 5, data={f"k{number}": "x" * 4000 for number in range(100)}).as_env()
    size = sum(len(name) + len(value) + 2 for name, value in env.items())
    assert ENV_TOTAL_BYTES - 4096 < size <= ENV_TOTAL_BYTES
