"""Commands as real clients send them, and as broken ones do."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.errors import AmfError, CommandError
from rtmpd.protocol.amf0 import DEFAULT_LIMITS, UNDEFINED, AmfLimits, EcmaArray, encode
from rtmpd.protocol.command import (
    CAPS_MULTITRACK,
    CAPS_RECONNECT,
    NO_CAPABILITIES,
    Capabilities,
    Command,
    ConnectRequest,
    command_message,
    read_capabilities,
    read_command,
    read_connect,
)
from rtmpd.protocol.constants import COMMAND_AMF0, COMMAND_AMF3
from rtmpd.protocol.message import Message


def command(*values: Any, type_id: int = COMMAND_AMF0, msid: int = 0) -> Command:
    return read_command(Message(type_id, encode(*values), 0, msid), DEFAULT_LIMITS)


def connect(properties: Any) -> ConnectRequest:
    return read_connect(command("connect", 1.0, properties))


# --- what recurs is decoded once --------------------------------------------------------------------


def test_a_command_that_recurs_is_decoded_once_and_is_what_it_would_be_otherwise() -> None:
    play = ("play", 4.0, None, "a stream of many players", -2.0)
    assert command(*play, msid=1) is command(*play, msid=1)
    assert command(*play, msid=1) == Command("play", 4.0, None, play[3:], 1)
    assert command(*play, msid=2).msid == 2
    properties = {"app": "live", "tcUrl": "rtmp://host/live"}
    assert connect(properties) is connect(properties)
    assert connect(properties).app == "live"


@pytest.mark.parametrize(
    "values",
    [
        ("play", 4.0, None, "camera?token=secret"),
        ("play2", 4.0, None, {"streamName": "camera?token=secret"}),
        ("connect", 1.0, {"app": "live?token=secret"}),
        ("connect", 1.0, {"app": "live"}, {"deep": [{"url": "rtmp://host/live?token=secret"}]}),
        ("publish", 4.0, None, "key"),
        ("FCPublish", 4.0, None, "key"),
        ("createStream", 2.0, {"note": "x" * 1024}),
    ],
)
def test_secrets_names_to_publish_and_large_commands_are_not_remembered(values: tuple[Any, ...]) -> None:
    assert command(*values) is not command(*values)
    assert command(*values) == command(*values)


def test_a_command_that_cannot_be_read_whole_is_not_remembered() -> None:
    message = Message(COMMAND_AMF0, encode("play", 4.0, None, "camera") + b"\x0e")
    first, second = (read_command(message, DEFAULT_LIMITS) for _ in range(2))
    assert first is not second
    assert [each.stream_name(0) for each in (first, second)] == ["camera", "camera"]


def test_what_is_remembered_under_other_limits_does_not_count() -> None:
    values = ("call", 1.0, None, *map(float, range(10)))
    assert command(*values).fault is None
    message = Message(COMMAND_AMF0, encode(*values))
    fault = read_command(message, AmfLimits(items=8)).fault
    assert fault is not None and fault.code == "amf_too_many_items"


def test_few_commands_are_remembered_the_oldest_one_is_forgotten() -> None:
    first = command("play", 4.0, None, "the first")
    others = [command("play", 4.0, None, f"stream {number}") for number in range(64)]
    assert command("play", 4.0, None, "the first") is not first
    assert command("play", 4.0, None, "stream 63") is others[63]


# --- reading ----------------------------------------------------------------------------------------


def test_a_command_is_name_transaction_object_and_arguments() -> None:
    read = command("play", 4.0, None, "camera", -2.0, msid=3)
    assert read == Command("play", 4.0, None, ("camera", -2.0), 3)
    assert (read.text(0), read.number(1), read.msid) == ("camera", -2.0, 3)


@pytest.mark.parametrize(
    "values, expected",
    [
        (("close",), Command("close")),
        (("close", 2.0), Command("close", 2.0)),
        (("close", None), Command("close")),
        (("close", "2"), Command("close")),
        (("close", True, None), Command("close")),
        (("", 1.0), Command("", 1.0)),
    ],
)
def test_what_a_client_leaves_out_or_gets_wrong_has_a_default(values: tuple[Any, ...], expected: Command) -> None:
    assert command(*values) == expected


def test_arguments_of_the_wrong_kind_are_as_good_as_none() -> None:
    read = command("play", 0.0, None, 5.0, "soon")
    assert (read.text(0), read.number(1, -2.0), read.text(7), read.number(7), read.argument(7, "none")) == (
        "", -2.0, "", 0.0, "none",
    )  # fmt: skip


@pytest.mark.parametrize("payload", [b"", b"\x05", encode(1.0, "connect"), encode({"name": "connect"})])
def test_a_command_without_a_name_is_an_error(payload: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        read_command(Message(COMMAND_AMF0, payload), DEFAULT_LIMITS)
    assert caught.value.code == "no_command_name"


@pytest.mark.parametrize("lead", [b"\0", b""], ids=["with the format byte", "without"])
def test_a_command_of_type_17_is_amf0_behind_a_format_byte(lead: bytes) -> None:
    body = lead + encode("connect", 1.0, {"app": "live", "objectEncoding": 3.0})
    read = read_command(Message(COMMAND_AMF3, body), DEFAULT_LIMITS)
    assert read_connect(read) == ConnectRequest("live", object_encoding=3)


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_command_that_is_cut_off_is_an_amf_error(cut: int) -> None:
    body = encode("publish", 5.0, None, "camera")
    with pytest.raises((AmfError, CommandError)):
        read_command(Message(COMMAND_AMF0, body[: -cut - 1][:8]), DEFAULT_LIMITS)


def test_the_limits_of_amf_hold_for_commands() -> None:
    with pytest.raises(AmfError):
        read_command(Message(COMMAND_AMF0, encode("x", 1.0, "y" * 100)), AmfLimits(bytes=50))


def test_a_command_message_is_read_back() -> None:
    message = command_message("_result", 2.0, None, 1.0, msid=7)
    assert (message.type_id, message.timestamp, message.msid) == (COMMAND_AMF0, 0, 7)
    assert read_command(message, DEFAULT_LIMITS) == Command("_result", 2.0, None, (1.0,), 7)


# --- connect ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "properties, app, query, tc_url",
    [
        ({"app": "live", "tcUrl": "rtmp://h/live"}, "live", "", "rtmp://h/live"),
        ({"app": "live"}, "live", "", ""),
        ({"app": "live/"}, "live", "", ""),
        ({"app": "/live//"}, "live", "", ""),
        ({"app": "a/b/c"}, "a/b/c", "", ""),
        ({"app": "a/b/?token=x&y=/z/"}, "a/b", "token=x&y=/z/", ""),
        ({"app": "live?token=x?y"}, "live", "token=x?y", ""),
        ({"app": "live?"}, "live", "", ""),
        ({"tcUrl": "rtmp://h:1935/live/sub?token=x"}, "live/sub", "token=x", "rtmp://h:1935/live/sub"),
        ({"app": "", "tcUrl": "rtmp://h/live"}, "live", "", "rtmp://h/live"),
        ({"app": "/", "tcUrl": "rtmp://h/live/"}, "live", "", "rtmp://h/live/"),
        ({"app": "?a=1", "tcUrl": "rtmp://h/live?b=2"}, "live", "a=1&b=2", "rtmp://h/live"),
        ({"app": "live?token=x", "tcUrl": "rtmp://h/live?token=x"}, "live", "token=x", "rtmp://h/live"),
        ({"tcUrl": "rtmp://[::1]:1935/live"}, "live", "", "rtmp://[::1]:1935/live"),
        ({"tcUrl": "rtmp://[broken/live"}, "live", "", "rtmp://[broken/live"),
        ({"tcUrl": "rtmp://h:port/live"}, "live", "", "rtmp://h:port/live"),
        ({"tcUrl": "rtmp://h"}, "", "", "rtmp://h"),
        ({"tcUrl": ""}, "", "", ""),
        ({"app": 5.0, "tcUrl": None}, "", "", ""),
        ({}, "", "", ""),
    ],
)
def test_the_application_comes_from_app_or_else_from_tc_url(
    properties: dict[str, Any], app: str, query: str, tc_url: str
) -> None:
    request = connect(properties)
    assert (request.app, request.query, request.tc_url) == (app, query, tc_url)


@pytest.mark.parametrize(
    "url", ["//[x", "//[://x/y", "[", "://", "http://[::1/a", "rtmp:////[", "//]/x", "rtmp://ⅷ℀/x"]
)
def test_no_tc_url_is_too_broken(url: str) -> None:
    assert connect({"tcUrl": url}).tc_url == url


@pytest.mark.parametrize("properties", [None, UNDEFINED, "live", 1.0, ["live"]])
def test_connect_without_an_object_asks_for_no_application(properties: Any) -> None:
    assert connect(properties) == ConnectRequest("")


def test_connect_may_bring_its_properties_in_an_array() -> None:
    assert connect(EcmaArray(app="live", flashVer="FMLE/3.0")).flash_ver == "FMLE/3.0"


@pytest.mark.parametrize("value, encoding", [(0.0, 0), (3.0, 3), (1.0, 0), ("3", 0), (None, 0), (math.nan, 0)])
def test_object_encoding_is_0_or_3(value: Any, encoding: int) -> None:
    assert connect({"app": "live", "objectEncoding": value}).object_encoding == encoding


def test_secrets_in_urls_are_not_kept() -> None:
    request = connect({"app": "live", "tcUrl": "rtmp://h/live?key=secret", "pageUrl": "http://h/p?key=secret"})
    assert (request.tc_url, request.page_url) == ("rtmp://h/live", "http://h/p")


def test_capabilities_are_read() -> None:
    request = connect({
        "app": "live", "fourCcList": ["av01", 5.0, "*"], "videoFourCcInfoMap": {"*": 4.0, "hvc1": 7.0},
        "audioFourCcInfoMap": EcmaArray({"Opus": 1.0}), "capsEx": float(CAPS_RECONNECT | CAPS_MULTITRACK),
    })  # fmt: skip
    assert request.capabilities == Capabilities(("av01", "*"), {"*": 4, "hvc1": 7}, {"Opus": 1}, 3)
    assert request.capabilities.can_reconnect


@pytest.mark.parametrize("hostile", [math.nan, math.inf, -math.inf, -1.0, 1e300, "4", None, [], {}, True])
def test_hostile_capabilities_are_as_good_as_none(hostile: Any) -> None:
    request = connect({
        "app": "live", "capsEx": hostile, "videoFourCcInfoMap": {"*": hostile}, "audioFourCcInfoMap": hostile,
        "fourCcList": hostile,
    })  # fmt: skip
    capabilities = request.capabilities
    assert capabilities.caps_ex is None and capabilities.video_fourcc == {}
    assert not capabilities.fourcc_list and not capabilities.audio_fourcc
    assert not capabilities.can_reconnect


def test_who_tells_no_capabilities_has_none() -> None:
    assert read_capabilities({"app": "live"}) is NO_CAPABILITIES
    assert read_capabilities({"capsEx": 1.0}) == Capabilities(caps_ex=1)
    assert Capabilities() == NO_CAPABILITIES


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_URLS = st.text(alphabet="rtmp:/[]?#@%.a1\u2168\u2100 ", max_size=30)
_PROPERTIES = st.dictionaries(
    st.sampled_from(
        ["app", "tcUrl", "pageUrl", "flashVer", "objectEncoding", "capsEx", "fourCcList", "videoFourCcInfoMap"]
    ),
    _VALUES | _URLS,
)


@given(_PROPERTIES | _VALUES)
def test_any_connect_can_be_read(properties: Any) -> None:
    request = connect(properties)
    assert not request.app.startswith("/") and not request.app.endswith("/")
    assert "?" not in request.app
