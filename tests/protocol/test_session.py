"""The server session: every command in every state, the replies in their order, and connect as clients send it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rtmpd.errors import CommandError, LimitReached, StreamBusy, StreamNotFound
from rtmpd.protocol import notice, status
from rtmpd.protocol.amf0 import DEFAULT_LIMITS, UNDEFINED, EcmaArray, decode_all, encode
from rtmpd.protocol.client import ClientSession, ReconnectAsked
from rtmpd.protocol.command import NO_CAPABILITIES, Capabilities
from rtmpd.protocol.constants import (
    AGGREGATE,
    AUDIO,
    COMMAND_AMF0,
    COMMAND_AMF3,
    CSID_COMMAND,
    CSID_CONTROL,
    CSID_STATUS,
    DATA_AMF0,
    DATA_AMF3,
    SHARED_OBJECT_AMF0,
    SHARED_OBJECT_AMF3,
    STREAM_BEGIN,
    STREAM_EOF,
    USER_CONTROL,
    VIDEO,
)
from rtmpd.protocol.control import read_user_control
from rtmpd.protocol.message import Message
from rtmpd.protocol.notice import ConnectAsked, MediaArrived, PlayAsked, PublishAsked, Reply, Violation
from rtmpd.protocol.session import ServerSession
from rtmpd.protocol.url import parse_url


class Client:
    """Says commands to a session. Requests are granted at once where ``grants`` is true."""

    def __init__(self, grants: bool = True) -> None:
        self.session = ServerSession(DEFAULT_LIMITS, 4)
        self.grants = grants
        self.transaction = 0.0

    def hears(self, message: Message) -> list[notice.Notice]:
        notices = self.session.receive(message)
        for each in tuple(notices):
            if self.grants and isinstance(each, ConnectAsked | PublishAsked | PlayAsked):
                notices += self.session.accept(each)
        return notices

    def says(self, name: str, *values: Any, msid: int = 0, type_id: int = COMMAND_AMF0) -> list[notice.Notice]:
        self.transaction += 1.0
        lead = b"\0" if type_id == COMMAND_AMF3 else b""
        return self.hears(Message(type_id, lead + encode(name, self.transaction, *values), 0, msid))

    def connected(self) -> Client:
        self.says("connect", {"app": "live"})
        return self


def replies(notices: list[notice.Notice]) -> list[tuple[Any, ...]]:
    """What goes back, in order: (csid, msid, name, code or value) or (csid, event, value)."""
    out: list[tuple[Any, ...]] = []
    for each in notices:
        if not isinstance(each, Reply):
            continue
        message = each.message
        if message.type_id == USER_CONTROL:
            out.append((each.csid, *read_user_control(message)))
            continue
        values = decode_all(message.payload, DEFAULT_LIMITS)
        last = values[-1]
        out.append(
            (each.csid, message.msid, values[0], last["code"] if isinstance(last, dict) and "code" in last else last)
        )
    return out


def others(notices: list[notice.Notice]) -> list[notice.Notice]:
    return [each for each in notices if not isinstance(each, Reply)]


def information(notices: list[notice.Notice]) -> dict[str, Any]:
    """The status of the only reply."""
    (reply,) = (each for each in notices if isinstance(each, Reply))
    return decode_all(reply.message.payload, DEFAULT_LIMITS)[-1]


def violation(notices: list[notice.Notice]) -> str:
    (each,) = (each for each in notices if isinstance(each, Violation))
    return each.code


# --- connect ----------------------------------------------------------------------------------------


def test_connect_is_answered_with_its_transaction_and_what_clients_look_for() -> None:
    client = Client()
    asked, reply = client.says("connect", {"app": "live"})
    assert isinstance(asked, ConnectAsked) and asked.request.app == "live"
    assert isinstance(reply, Reply) and (reply.csid, reply.message.msid, reply.message.type_id) == (3, 0, 20)
    name, transaction, properties, status_object = decode_all(reply.message.payload, DEFAULT_LIMITS)
    assert (name, transaction) == ("_result", 1.0)
    assert properties == {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0, "mode": 1.0}
    assert list(status_object)[:3] == ["level", "code", "description"]
    assert status_object["level"] == "status"
    assert status_object["code"] == "NetConnection.Connect.Success"
    assert status_object["objectEncoding"] == 0.0
    assert client.session.connected


@pytest.mark.parametrize("type_id", [COMMAND_AMF0, COMMAND_AMF3])
def test_the_whole_dialogue_may_be_wrapped_as_amf3(type_id: int) -> None:
    client = Client()
    assert others(client.says("connect", {"app": "live", "objectEncoding": 3.0}, type_id=type_id))
    client.says("createStream", None, type_id=type_id)
    assert others(client.says("publish", None, "camera", "live", msid=1, type_id=type_id)) == [
        PublishAsked(1, 3.0, "camera", "", "live")
    ]
    for data_type, payload in ((DATA_AMF3, b"\0" + encode("onMetaData", {})), (DATA_AMF0, encode("onMetaData", {}))):
        message = Message(data_type, payload, 5, 1)
        assert client.hears(message) == [MediaArrived(message)]


def test_a_client_of_amf3_is_answered_in_amf0() -> None:
    notices = Client().says("connect", {"app": "live", "objectEncoding": 3.0})
    assert information(notices)["objectEncoding"] == 0.0


def test_a_refused_connect_is_an_error_and_leaves_the_session_unconnected() -> None:
    client = Client(grants=False)
    (asked,) = client.says("connect", {"app": "nowhere"})
    assert isinstance(asked, ConnectAsked)
    notices: list[notice.Notice] = [*client.session.reject(asked, LimitReached("full"))]
    assert replies(notices) == [(CSID_COMMAND, 0, "_error", "NetConnection.Connect.Rejected")]
    assert information(notices)["level"] == "error"
    assert not client.session.connected
    with pytest.raises(CommandError):
        client.says("createStream", None)


def test_capabilities_are_answered_only_to_those_who_tell_theirs() -> None:
    plain = decode_all(status.connect_result(1.0, Capabilities()).payload, DEFAULT_LIMITS)
    assert not {"fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"} & {*plain[2], *plain[3]}
    told = status.connect_result(1.0, Capabilities(("av01", "*"), {"*": 4}, {"*": 4}, 0x0F))
    _, _, properties, status_object = decode_all(told.payload, DEFAULT_LIMITS)
    assert properties["fourCcList"] == status_object["fourCcList"] == ["av01", "*"]
    assert properties["videoFourCcInfoMap"] == properties["audioFourCcInfoMap"] == {"*": 4.0}
    assert properties["capsEx"] == 15.0


def test_a_plain_connect_answer_carries_the_transaction_of_each() -> None:
    for transaction in (1.0, 2.0, 1.0):
        plain = status.connect_result(transaction, NO_CAPABILITIES)
        assert decode_all(plain.payload, DEFAULT_LIMITS)[1] == transaction
        assert plain == status.connect_result(transaction, Capabilities())


def test_a_second_connect_is_a_violation_and_changes_nothing() -> None:
    client = Client().connected()
    assert violation(client.says("connect", {"app": "other"})) == "connect_twice"


COMMANDS = [
    "createStream", "releaseStream", "FCPublish", "FCUnpublish", "FCSubscribe", "getStreamLength", "_checkbw",
    "publish", "play", "play2", "deleteStream", "closeStream", "pause", "pauseRaw", "seek", "receiveAudio",
    "receiveVideo", "unknown",
]  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_but_connect_may_come_first(name: str) -> None:
    with pytest.raises(CommandError) as caught:
        Client().says(name, None, "camera")
    assert caught.value.code == "not_connected"


@pytest.mark.parametrize("type_id", [AUDIO, VIDEO, DATA_AMF0, DATA_AMF3])
def test_media_before_connect_is_a_violation(type_id: int) -> None:
    assert violation(Client().hears(Message(type_id, b"x", 0, 1))) == "media_without_publish"


# --- calls on the connection --------------------------------------------------------------------------


def test_message_streams_are_numbered_from_1_and_limited() -> None:
    client = Client().connected()
    for msid in (1.0, 2.0, 3.0, 4.0):
        assert replies(client.says("createStream", None)) == [(CSID_COMMAND, 0, "_result", msid)]
    refused = client.says("createStream", None)
    assert replies(refused) == [(CSID_COMMAND, 0, "_error", "NetConnection.Call.Failed")]
    client.says("deleteStream", None, 2.0)
    assert replies(client.says("createStream", None)) == [(CSID_COMMAND, 0, "_result", 5.0)]


@pytest.mark.parametrize(
    "name, values, expected",
    [
        ("releaseStream", ("camera",), [(3, 0, "_result", UNDEFINED)]),
        (
            "FCPublish",
            ("camera?k=1",),
            [(3, 0, "_result", UNDEFINED), (3, 0, "onFCPublish", "NetStream.Publish.Start")],
        ),
        (
            "FCUnpublish",
            ("camera",),
            [(3, 0, "_result", UNDEFINED), (3, 0, "onFCUnpublish", "NetStream.Unpublish.Success")],
        ),
        ("FCSubscribe", ("camera",), [(3, 0, "_result", UNDEFINED), (3, 0, "onFCSubscribe", "NetStream.Play.Start")]),
        ("getStreamLength", ("camera",), [(3, 0, "_result", 0.0)]),
        ("_checkbw", (), [(3, 0, "_result", None)]),
        ("somethingNew", (), [(3, 0, "_error", "NetConnection.Call.Failed")]),
    ],
)
def test_calls_are_answered_if_a_transaction_waits(name: str, values: tuple[Any, ...], expected: list[Any]) -> None:
    client = Client().connected()
    assert replies(client.says(name, None, *values)) == expected
    unasked = client.hears(Message(COMMAND_AMF0, encode(name, 0.0, None, *values)))
    assert replies(unasked) == [each for each in expected if each[2] not in ("_result", "_error")]


def test_on_fc_tells_the_name_without_its_query() -> None:
    notices = Client().connected().says("FCPublish", None, "camera?key=secret")
    last = notices[-1]
    assert isinstance(last, Reply)
    assert decode_all(last.message.payload, DEFAULT_LIMITS)[-1]["description"] == "camera"


def test_answers_are_kept_but_not_those_with_a_name() -> None:
    assert status.result(2.0, 1.0) is status.result(2.0, 1.0)
    assert status.on_fc("onFCPublish", "NetStream.Publish.Start", "a") is not status.on_fc(
        "onFCPublish", "NetStream.Publish.Start", "a"
    )


@pytest.mark.parametrize("reset", [True, False])
def test_all_players_of_a_stream_are_answered_alike_and_each_on_its_message_stream(reset: bool) -> None:
    def answers(name: str) -> list[Reply]:
        client = playing(name) if reset else idle()
        asked = notice.PlayAsked(1, 0.0, name, "", -2.0, reset)
        return client.session.accept(asked)

    first, second = answers("camera"), answers("camera")
    assert [each.message for each in first] == [each.message for each in second]
    assert all(one.message is other.message for one, other in zip(first, second, strict=True))
    assert len(first) == (4 if reset else 3)
    assert answers("x" * 257)[1].message is not answers("x" * 257)[1].message  # what is kept is bounded


@pytest.mark.parametrize("text", ["", "camera", "Größe", "y" * 70_000])
def test_a_status_put_together_is_the_status_encoded_whole(text: str) -> None:
    more = {"details": text, "clientid": 1.0}
    whole = encode("onStatus", 0.0, None, status.status_object("status", "NetStream.Play.Start", text, **more))
    assert status.on_status(1, "status", "NetStream.Play.Start", text, **more).payload == whole
    call = encode("onFCPublish", 0.0, None, status.status_object("status", "NetStream.Publish.Start", text))
    assert status.on_fc("onFCPublish", "NetStream.Publish.Start", text).payload == call


@pytest.mark.parametrize("type_id", [SHARED_OBJECT_AMF0, SHARED_OBJECT_AMF3])
def test_shared_objects_are_ignored(type_id: int) -> None:
    assert Client().connected().hears(Message(type_id, b"anything")) == []


@pytest.mark.parametrize("type_id", [7, 10, 21, AGGREGATE, 23, 255])
def test_a_message_of_another_type_is_a_violation(type_id: int) -> None:
    assert violation(Client().connected().hears(Message(type_id, b"x"))) == "unknown_message_type"


# --- publish ------------------------------------------------------------------------------------------


def publishing(name: str = "camera") -> Client:
    client = Client().connected()
    client.says("createStream", None)
    client.says("publish", None, name, "live", msid=1)
    return client


def playing(name: str = "camera") -> Client:
    client = Client().connected()
    client.says("createStream", None)
    client.says("play", None, name, msid=1)
    return client


def idle() -> Client:
    client = Client().connected()
    client.says("createStream", None)
    return client


def asked(command: str) -> Client:
    client = idle()
    client.grants = False
    client.says(command, None, "camera", msid=1)
    return client


@pytest.mark.parametrize(
    "values, expected",
    [
        (("camera", "live"), ("camera", "", "live")),
        (("camera",), ("camera", "", "live")),
        (("camera?key=a?b", "record"), ("camera", "key=a?b", "record")),
        (("a/b", "append"), ("a/b", "", "append")),
        (("a/b?x=?&y", "live"), ("a/b", "x=?&y", "live")),
        (("camera", "whatever"), ("camera", "", "live")),
        (("camera", 7.0), ("camera", "", "live")),
        (("", "live"), ("", "", "live")),
        (("?key=1", "live"), ("", "key=1", "live")),
    ],
)
def test_publish_asks_for_a_name(values: tuple[Any, ...], expected: tuple[str, str, str]) -> None:
    client = idle()
    assert others(client.says("publish", None, *values, msid=1)) == [PublishAsked(1, 3.0, *expected)]


def test_a_granted_publish_is_told_stream_begin_and_then_its_start() -> None:
    client = idle()
    notices = client.says("publish", None, "camera", msid=1)
    assert replies(notices) == [
        (CSID_CONTROL, STREAM_BEGIN, 1),
        (CSID_STATUS, 1, "onStatus", "NetStream.Publish.Start"),
    ]
    last = notices[-1]
    assert isinstance(last, Reply)
    name, transaction, nothing, start = decode_all(last.message.payload, DEFAULT_LIMITS)
    assert (name, transaction, nothing, start["level"], start["details"]) == ("onStatus", 0.0, None, "status", "camera")


def test_a_refused_publish_is_an_error_status_and_may_be_tried_again() -> None:
    client = asked("publish")
    notices: list[notice.Notice] = [
        *client.session.reject(PublishAsked(1, 3.0, "camera", "", "live"), StreamBusy("taken"))
    ]
    assert replies(notices) == [(CSID_STATUS, 1, "onStatus", "NetStream.Publish.BadName")]
    assert information(notices)["level"] == "error"
    assert others(client.says("publish", None, "other", msid=1)) == [PublishAsked(1, 4.0, "other", "", "live")]


STOPPED = [(CSID_STATUS, 1, "onStatus", "NetStream.Unpublish.Success")]


@pytest.mark.parametrize(
    "name, values, msid",
    [
        ("publish", (False,), 1),
        ("publish", ("",), 1),
        ("publish", (), 1),
        ("closeStream", (), 1),
        ("deleteStream", (1.0,), 0),
        ("deleteStream", (1.0,), 1),
        ("deleteStream", (), 1),
    ],
)
def test_a_publisher_stops_in_one_of_these_ways_and_is_told_so_once(
    name: str, values: tuple[Any, ...], msid: int
) -> None:
    client = publishing()
    notices = client.says(name, None, *values, msid=msid)
    assert others(notices) == [notice.PublishEnded(1, name)]
    assert replies(notices) == STOPPED
    assert violation(client.hears(Message(VIDEO, b"x", 0, 1))) == "media_without_publish"
    assert not [each for each in client.says("closeStream", None, msid=1) if not isinstance(each, Reply)]


def test_fcunpublish_stops_the_publish_of_that_name_only() -> None:
    client = publishing()
    assert others(client.says("FCUnpublish", None, "other")) == []
    notices = client.says("FCUnpublish", None, "camera?key=1")
    assert others(notices) == [notice.PublishEnded(1, "FCUnpublish")]
    assert [each[2:] for each in replies(notices)] == [
        ("_result", UNDEFINED), ("onFCUnpublish", "NetStream.Unpublish.Success"),
        ("onStatus", "NetStream.Unpublish.Success"),
    ]  # fmt: skip
    assert others(client.says("deleteStream", None, 1.0)) == []


def test_a_stopped_publisher_may_publish_again_on_the_same_message_stream() -> None:
    client = publishing()
    client.says("closeStream", None, msid=1)
    assert others(client.says("publish", None, "camera", msid=1)) == [PublishAsked(1, 5.0, "camera", "", "live")]
    assert isinstance(client.hears(Message(VIDEO, b"x", 0, 1))[0], MediaArrived)


def test_media_goes_by_its_message_stream() -> None:
    client = publishing()
    client.says("createStream", None)
    for type_id in (AUDIO, VIDEO, DATA_AMF0, DATA_AMF3):
        message = Message(type_id, b"x", 3, 1)
        assert client.hears(message) == [MediaArrived(message)]
        assert violation(client.hears(Message(type_id, b"x", 3, 2))) == "media_without_publish"


@pytest.mark.parametrize("type_id", [AUDIO, VIDEO, DATA_AMF0, DATA_AMF3])
@pytest.mark.parametrize("msid", [0, 2, 77, 0xFFFFFFFF])
def test_media_of_a_message_stream_that_was_never_made_is_of_the_only_publish(type_id: int, msid: int) -> None:
    client = publishing()
    stray = Message(type_id, b"x", 3, msid)
    told, arrived = client.hears(stray)
    assert isinstance(told, Violation) and told.code == "unknown_message_stream"
    assert arrived == MediaArrived(Message(type_id, b"x", 3, 1))
    assert client.hears(stray) == [arrived], "one report is enough"


def test_media_of_a_message_stream_that_was_never_made_is_nobodys_if_two_publish_or_none() -> None:
    client = publishing()
    client.says("createStream", None)
    client.says("publish", None, "second", msid=2)
    assert violation(client.hears(Message(VIDEO, b"x", 0, 0))) == "media_without_publish"
    client.says("deleteStream", None, 2.0)
    assert client.hears(Message(VIDEO, b"x", 0, 0))[-1] == MediaArrived(Message(VIDEO, b"x", 0, 1))
    client.says("closeStream", None, msid=1)
    assert violation(client.hears(Message(VIDEO, b"x", 0, 0))) == "media_without_publish"


def test_what_is_left_of_a_deleted_message_stream_is_not_mixed_into_another() -> None:
    client = publishing()
    client.says("createStream", None)
    client.says("publish", None, "second", msid=2)
    client.says("deleteStream", None, 1.0)
    assert violation(client.hears(Message(VIDEO, b"x", 0, 1))) == "media_without_publish"


@pytest.mark.parametrize("state", [lambda: asked("publish"), playing, lambda: asked("play"), idle])
def test_media_on_a_message_stream_that_does_not_publish_is_a_violation(state: Any) -> None:
    assert violation(state().hears(Message(VIDEO, b"x", 0, 1))) == "media_without_publish"


def test_one_connection_publishes_and_plays_several_streams() -> None:
    client = publishing()
    client.says("createStream", None)
    client.says("createStream", None)
    assert others(client.says("publish", None, "second", msid=2)) == [PublishAsked(2, 6.0, "second", "", "live")]
    assert isinstance(others(client.says("play", None, "third", msid=3))[0], PlayAsked)
    assert others(client.says("closeStream", None, msid=1)) == [notice.PublishEnded(1, "closeStream")]
    assert isinstance(client.hears(Message(AUDIO, b"x", 0, 2))[0], MediaArrived)
    assert others(client.says("deleteStream", None, 3.0)) == [notice.PlayEnded(3, "deleteStream")]


# --- play ---------------------------------------------------------------------------------------------


PLAY_REPLIES = [
    (CSID_CONTROL, STREAM_BEGIN, 1),
    (CSID_STATUS, 1, "onStatus", "NetStream.Play.Reset"),
    (CSID_STATUS, 1, "onStatus", "NetStream.Play.Start"),
    (5, 1, "|RtmpSampleAccess", True),
]  # no NetStream.Data.Start: ffmpeg opens a stream of data for it, which no MP4 file can hold


@pytest.mark.parametrize(
    "values, expected, reset",
    [
        (("camera",), ("camera", "", -2.0, True), True),
        (("camera", -1.0, -1.0, True), ("camera", "", -1.0, True), True),
        (("camera?k=1", 5.0, -1.0, False), ("camera", "k=1", 5.0, False), False),
        (("a/b?x=?&y",), ("a/b", "x=?&y", -2.0, True), True),
        (("?x",), ("", "x", -2.0, True), True),
        (("", "x"), ("", "", -2.0, True), True),
        ((), ("", "", -2.0, True), True),
    ],
)
def test_play_is_answered_in_the_order_that_players_expect(values: Any, expected: Any, reset: bool) -> None:
    notices = idle().says("play", None, *values, msid=1)
    assert others(notices) == [PlayAsked(1, 3.0, *expected)]
    assert replies(notices) == [each for each in PLAY_REPLIES if reset or each[-1] != "NetStream.Play.Reset"]
    assert {reply.message.timestamp for reply in notices if isinstance(reply, Reply)} == {0}


@pytest.mark.parametrize("options", [{"streamName": "camera?q"}, EcmaArray(streamName="camera?q")])
def test_play2_names_the_stream_in_its_options(options: Any) -> None:
    assert others(idle().says("play2", None, options, msid=1)) == [PlayAsked(1, 3.0, "camera", "q", -2.0, False)]


@pytest.mark.parametrize("values", [(), (None,), ("camera",), ({"streamName": 5.0},)])
def test_play2_without_a_name_asks_for_an_empty_one(values: tuple[Any, ...]) -> None:
    (wanted,) = others(idle().says("play2", None, *values, msid=1))
    assert isinstance(wanted, PlayAsked) and wanted.name == ""


def test_another_play_ends_the_one_before() -> None:
    client = playing()
    notices = client.says("play", None, "other", msid=1)
    assert others(notices) == [notice.PlayEnded(1, "play"), PlayAsked(1, 4.0, "other", "", -2.0, True)]


def test_a_refused_play_has_level_error_as_ffmpeg_looks_for_nothing_else() -> None:
    client = asked("play")
    wanted = PlayAsked(1, 3.0, "camera", "", -2.0, True)
    notices: list[notice.Notice] = [*client.session.reject(wanted, StreamNotFound("no"))]
    assert replies(notices) == [(CSID_STATUS, 1, "onStatus", "NetStream.Play.StreamNotFound")]
    assert information(notices)["level"] == "error"
    assert isinstance(client.says("play", None, "camera", msid=1)[0], PlayAsked)


@pytest.mark.parametrize(
    "name, values, msid", [("closeStream", (), 1), ("deleteStream", (1.0,), 0), ("publish", (False,), 1)]
)
def test_a_player_stops_in_one_of_these_ways(name: str, values: tuple[Any, ...], msid: int) -> None:
    assert playing().says(name, None, *values, msid=msid) == [notice.PlayEnded(1, name)]


@pytest.mark.parametrize(
    "name, value, paused, code",
    [
        ("pause", True, True, "NetStream.Pause.Notify"),
        ("pauseRaw", True, True, "NetStream.Pause.Notify"),
        ("pause", False, False, "NetStream.Unpause.Notify"),
    ],
)
def test_pause_is_told_back_before_it_takes_effect(name: str, value: bool, paused: bool, code: str) -> None:
    notices = playing().says(name, None, value, 1000.0, msid=1)
    assert replies(notices) == [(CSID_STATUS, 1, "onStatus", code)]
    assert notices[-1] == notice.PauseAsked(1, paused)


@pytest.mark.parametrize("name, kind", [("receiveAudio", "audio"), ("receiveVideo", "video")])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_player_chooses_the_kinds_it_receives(name: str, kind: str, wanted: bool) -> None:
    assert playing().says(name, None, wanted, msid=1) == [notice.ReceiveAsked(1, kind, wanted)]


def test_seek_fails_as_there_is_nothing_to_seek_in() -> None:
    notices = playing().says("seek", None, 1000.0, msid=1)
    assert replies(notices) == [(CSID_STATUS, 1, "onStatus", "NetStream.Seek.Failed")]
    assert information(notices)["level"] == "error"


def test_a_player_is_told_of_a_publisher_that_comes_and_goes() -> None:
    session = playing().session
    assert replies([*session.published(1, "camera")]) == [
        (CSID_CONTROL, STREAM_BEGIN, 1), (CSID_STATUS, 1, "onStatus", "NetStream.Play.PublishNotify"),
    ]  # fmt: skip
    assert replies([*session.unpublished(1, "camera")]) == [
        (CSID_CONTROL, STREAM_EOF, 1), (CSID_STATUS, 1, "onStatus", "NetStream.Play.UnpublishNotify"),
    ]  # fmt: skip


# --- every state and command ----------------------------------------------------------------------------

STATES = {
    "idle": idle,
    "publish asked": lambda: asked("publish"),
    "publishing": publishing,
    "play asked": lambda: asked("play"),
    "playing": playing,
}

# what a command means in a state where it is more than answered or ignored; V: the code of a violation
MEANINGS: dict[tuple[str, str], str] = {
    ("idle", "publish"): "PublishAsked",
    ("idle", "play"): "PlayAsked",
    ("idle", "play2"): "PlayAsked",
    ("publish asked", "publish"): "V publish_twice",
    ("publish asked", "play"): "V play_while_publishing",
    ("publish asked", "play2"): "V play_while_publishing",
    ("publishing", "publish"): "V publish_twice",
    ("publishing", "play"): "V play_while_publishing",
    ("publishing", "play2"): "V play_while_publishing",
    ("publishing", "FCUnpublish"): "PublishEnded",
    ("publishing", "closeStream"): "PublishEnded",
    ("publishing", "deleteStream"): "PublishEnded",
    ("play asked", "publish"): "V publish_twice",
    ("play asked", "play"): "V play_while_publishing",
    ("play asked", "play2"): "V play_while_publishing",
    ("playing", "publish"): "V publish_twice",
    ("playing", "play"): "PlayEnded PlayAsked",
    ("playing", "play2"): "PlayEnded PlayAsked",
    ("playing", "closeStream"): "PlayEnded",
    ("playing", "deleteStream"): "PlayEnded",
    ("playing", "pause"): "PauseAsked",
    ("playing", "pauseRaw"): "PauseAsked",
    ("playing", "receiveAudio"): "ReceiveAsked",
    ("playing", "receiveVideo"): "ReceiveAsked",
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", [*COMMANDS, "connect"])
def test_every_command_has_a_meaning_in_every_state(state: str, name: str) -> None:
    client = STATES[state]()
    client.grants = False
    argument = 1.0 if name == "deleteStream" else "camera"
    meaning = " ".join(
        f"V {each.code}" if isinstance(each, Violation) else type(each).__name__
        for each in others(client.says(name, None, argument, msid=1))
    )
    expected = "V connect_twice" if name == "connect" else MEANINGS.get((state, name), "")
    assert meaning == expected


@pytest.mark.parametrize("name", ["publish", "play", "play2"])
@pytest.mark.parametrize("msid", [0, 9])
def test_a_message_stream_that_was_not_created_is_refused(name: str, msid: int) -> None:
    notices = idle().says(name, None, "camera", msid=msid)
    assert replies(notices) == [(CSID_STATUS, msid, "onStatus", "NetStream.Failed")]
    assert violation(notices) == "no_such_stream"


@pytest.mark.parametrize("name", ["closeStream", "deleteStream", "pause", "receiveAudio", "receiveVideo"])
def test_leaving_a_message_stream_that_is_not_there_means_nothing(name: str) -> None:
    assert Client().connected().says(name, None, 9.0, msid=9) == []


@pytest.mark.parametrize("hostile", [math.nan, math.inf, -math.inf, -1.0, 1e300, 0.0, 2.0**32 + 1])
def test_no_message_stream_number_is_too_hostile(hostile: float) -> None:
    client = publishing()
    assert client.says("deleteStream", None, hostile) == []
    assert isinstance(client.hears(Message(AUDIO, b"x", 0, 1))[0], MediaArrived)


@pytest.mark.parametrize("tc_url", ["", "rtmp://other.example/live"])
def test_our_own_client_follows_a_reconnect_request(tc_url: str) -> None:
    client, server = ClientSession(), ServerSession(DEFAULT_LIMITS, 4)
    assert server.ask_to_reconnect(tc_url, "why") == []
    [connect] = client.connect(parse_url("rtmp://localhost/live/a"), reconnects=True)
    [connect_asked] = server.receive(connect.message)
    assert isinstance(connect_asked, ConnectAsked)
    for reply in server.accept(connect_asked):
        client.receive(reply.message)
    [request] = server.ask_to_reconnect(tc_url, "why")
    assert client.receive(request.message) == [ReconnectAsked(tc_url, "why")]


def test_a_client_that_can_not_reconnect_is_not_asked() -> None:
    client = Client()
    client.says("connect", {"app": "live", "capsEx": 14.0})
    assert client.session.ask_to_reconnect("", "why") == []


# --- what cannot be read ----------------------------------------------------------------------------

UNREADABLE = (b"\x0d", b"\x11\x01", b"\x04", b"\x7f\x00")


def says_raw(client: Client, name: str, rest: bytes, msid: int = 0) -> list[notice.Notice]:
    client.transaction += 1.0
    return client.hears(Message(COMMAND_AMF0, encode(name, client.transaction) + rest, 0, msid))


@pytest.mark.parametrize("unreadable", UNREADABLE)
def test_an_argument_that_nobody_needs_may_be_anything(unreadable: bytes) -> None:
    client = Client().connected()
    assert replies(says_raw(client, "createStream", unreadable)) == [(3, 0, "_result", 1.0)]
    assert replies(says_raw(client, "releaseStream", unreadable)) == [(3, 0, "_result", UNDEFINED)]
    assert replies(says_raw(client, "_checkbw", unreadable)) == [(3, 0, "_result", None)]
    assert replies(says_raw(client, "FCPublish", encode(None) + unreadable))[0] == (3, 0, "_result", UNDEFINED)
    assert replies(says_raw(client, "unheardOf", unreadable))[0][2] == "_error"
    notices = says_raw(client, "publish", encode(None, "camera") + unreadable, msid=1)
    assert others(notices) == [PublishAsked(1, client.transaction, "camera", "", "live")]
    says_raw(client, "createStream", encode(None))
    notices = says_raw(client, "play", encode(None, "camera", -2.0) + unreadable, msid=2)
    assert others(notices) == [PlayAsked(2, client.transaction, "camera", "", -2.0, True)]


@pytest.mark.parametrize("unreadable", UNREADABLE)
@pytest.mark.parametrize(
    "name, status_code", [("publish", "NetStream.Publish.BadName"), ("play", "NetStream.Play.Failed"),
                          ("play2", "NetStream.Play.Failed")],
)  # fmt: skip
def test_a_name_that_cannot_be_read_is_answered_with_an_error_and_can_be_said_again(
    name: str, status_code: str, unreadable: bytes
) -> None:
    client = idle()
    notices = says_raw(client, name, encode(None) + unreadable, msid=1)
    assert replies(notices) == [(CSID_STATUS, 1, "onStatus", status_code)]
    assert violation(notices) == "amf_bad_marker"
    assert isinstance(others(client.says("publish", None, "camera", msid=1))[0], PublishAsked)


@pytest.mark.parametrize("name", ["pause", "deleteStream", "receiveVideo"])
def test_a_call_whose_argument_cannot_be_read_fails_and_changes_nothing(name: str) -> None:
    client = playing()
    notices = says_raw(client, name, encode(None) + b"\x0d", msid=1)
    assert replies(notices) == [(CSID_COMMAND, 0, "_error", "NetConnection.Call.Failed")]
    assert [each.code for each in others(notices) if isinstance(each, Violation)] == ["amf_bad_marker"]
    assert others(client.says("deleteStream", None, 1.0)) == [notice.PlayEnded(1, "deleteStream")]


def test_connect_reads_what_can_be_read_of_its_object() -> None:
    client = Client()
    properties = encode({"app": "live", "flashVer": "x"}).removesuffix(b"\x00\x00\x09") + b"\x00\x03odd\x11\x01"
    (asked,) = others(says_raw(client, "connect", properties))
    assert isinstance(asked, ConnectAsked)
    assert (asked.request.app, asked.request.flash_ver) == ("live", "x")


def test_an_empty_command_is_a_violation_and_no_more() -> None:
    client = idle()
    assert violation(client.hears(Message(COMMAND_AMF0, b""))) == "empty_command"
    assert client.session.connected


@pytest.mark.parametrize("name", ["publish", "play"])
@pytest.mark.parametrize(("said", "meant"), [(12345.0, "12345"), (0.0, "0"), (1.5, ""), (-1.0, ""), (math.nan, "")])
def test_a_stream_name_that_is_a_whole_number_is_its_digits(name: str, said: float, meant: str) -> None:
    (wanted,) = others(idle().says(name, None, said, msid=1))
    assert isinstance(wanted, PublishAsked | PlayAsked) and wanted.name == meant


def test_fcunpublish_without_a_name_ends_the_only_publish_and_none_of_two() -> None:
    client = publishing()
    assert others(client.says("FCUnpublish", None)) == [notice.PublishEnded(1, "FCUnpublish")]
    client = publishing()
    client.says("createStream", None)
    client.says("publish", None, "second", msid=2)
    assert others(client.says("FCUnpublish", None)) == []
