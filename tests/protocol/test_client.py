"""The client session, most of it against the server session: no sockets, each hears the other's replies."""

from __future__ import annotations

from collections import deque

import pytest

from rtmpd.errors import CommandError, LimitReached, MisuseError, Rejected, StreamBusy, StreamNotFound
from rtmpd.protocol import amf0, notice, status
from rtmpd.protocol.client import (
    ClientNotice,
    ClientSession,
    Connected,
    Ended,
    Media,
    ReconnectAsked,
    Refused,
    Started,
    State,
    StreamReady,
)
from rtmpd.protocol.command import CAPS_RECONNECT, Capabilities, Command, command_message, read_command
from rtmpd.protocol.constants import AUDIO, DATA_AMF0, DATA_AMF3, STREAM_EOF, USER_CONTROL, VIDEO
from rtmpd.protocol.control import read_user_control
from rtmpd.protocol.message import Message
from rtmpd.protocol.notice import Reply
from rtmpd.protocol.session import ServerSession
from rtmpd.protocol.url import parse_url

URL = parse_url("rtmp://media.example/live/demo?token=1")


class Conversation:
    """The two sessions, talking until neither has anything left to say."""

    def __init__(self, refuse: dict[type, Rejected] | None = None) -> None:
        self.client = ClientSession()
        self.server = ServerSession(amf0.DEFAULT_LIMITS, 32)
        self.refuse = refuse or {}
        self.heard_by_client: list[ClientNotice] = []
        self.heard_by_server: list[notice.Notice] = []
        self.commands: list[Command] = []
        self._to_server: deque[Message] = deque()
        self._to_client: deque[Message] = deque()

    def client_says(self, replies: list[Reply]) -> None:
        self._to_server += [reply.message for reply in replies]
        self._talk()

    def server_says(self, replies: list[Reply]) -> None:
        self._to_client += [reply.message for reply in replies]
        self._talk()

    def _talk(self) -> None:
        while self._to_server or self._to_client:
            if self._to_server:
                self._server_hears(self._to_server.popleft())
            else:
                self._client_hears(self._to_client.popleft())

    def _server_hears(self, message: Message) -> None:
        if message.type_id == USER_CONTROL:
            return
        if message.type_id not in (AUDIO, VIDEO):
            self.commands.append(read_command(message, amf0.DEFAULT_LIMITS))
        for heard in self.server.receive(message):
            if isinstance(heard, Reply):
                self._to_client.append(heard.message)
                continue
            self.heard_by_server.append(heard)
            if isinstance(heard, notice.ConnectAsked | notice.PublishAsked | notice.PlayAsked):
                error = self.refuse.get(type(heard))
                replies = self.server.reject(heard, error) if error else self.server.accept(heard)
                self._to_client += [reply.message for reply in replies]

    def _client_hears(self, message: Message) -> None:
        if message.type_id == USER_CONTROL:
            self.heard_by_client += self.client.user_control(*read_user_control(message))
            return
        for heard in self.client.receive(message):
            if isinstance(heard, Reply):
                self._to_server.append(heard.message)
            else:
                self.heard_by_client.append(heard)

    def asked(self, kind: type) -> list[notice.Notice]:
        return [heard for heard in self.heard_by_server if isinstance(heard, kind)]

    def started(self, publish: bool) -> Conversation:
        self.client_says(self.client.connect(URL))
        ask = self.client.publish if publish else self.client.play
        self.client_says(ask(URL.stream_name))
        return self


def on_status(code: str, level: str = "status", **more: object) -> Message:
    return status.on_status(1, level, code, "because", **more)


# --- the two sessions -----------------------------------------------------------------------------


def test_connect_tells_the_application_and_what_enhanced_rtmp_can_be_forwarded() -> None:
    talk = Conversation()
    talk.client_says(talk.client.connect(URL))
    [asked] = talk.asked(notice.ConnectAsked)
    assert isinstance(asked, notice.ConnectAsked)
    request = asked.request
    assert (request.app, request.tc_url) == ("live", "rtmp://media.example/live")
    assert request.flash_ver.startswith("FMLE/3.0 (compatible; rtmpd/")
    assert request.capabilities.fourcc_list == ("*",)
    assert request.capabilities.video_fourcc == request.capabilities.audio_fourcc == {"*": 4}
    assert not request.capabilities.can_reconnect
    [connected] = talk.heard_by_client
    assert isinstance(connected, Connected)
    assert connected.properties["fourCcList"] == ["*"]


def test_reconnect_is_announced_only_by_a_client_that_follows_it() -> None:
    [reply] = ClientSession().connect(URL, reconnects=True)
    assert int(read_command(reply.message, amf0.DEFAULT_LIMITS).object["capsEx"]) & CAPS_RECONNECT


def test_publishing_says_what_encoders_say_in_their_order() -> None:
    talk = Conversation().started(publish=True)
    names = [command.name for command in talk.commands]
    assert names == ["connect", "releaseStream", "FCPublish", "createStream", "publish"]
    assert talk.asked(notice.PublishAsked) == [notice.PublishAsked(1, 5.0, "demo", "token=1", "live")]
    assert talk.heard_by_client[1:] == [StreamReady(1), Started(1, "NetStream.Publish.Start")]
    assert talk.client.state is State.STARTED


def test_media_of_the_publisher_is_taken_by_the_server() -> None:
    talk = Conversation().started(publish=True)
    frame = Message(VIDEO, b"\x17\x01\0\0\0frame", 40, talk.client.msid)
    talk.client_says([Reply(7, frame)])
    assert talk.asked(notice.MediaArrived) == [notice.MediaArrived(frame)]


def test_a_publisher_that_closes_ends_its_stream_and_hears_it() -> None:
    talk = Conversation().started(publish=True)
    talk.client_says(talk.client.close())
    assert [command.name for command in talk.commands[-2:]] == ["FCUnpublish", "deleteStream"]
    assert talk.asked(notice.PublishEnded) == [notice.PublishEnded(1, "FCUnpublish")]
    assert talk.heard_by_client[-1] == Ended("NetStream.Unpublish.Success")


def test_a_player_gets_the_media_but_not_what_the_server_says_about_the_playing() -> None:
    talk = Conversation().started(publish=False)
    assert talk.asked(notice.PlayAsked) == [notice.PlayAsked(1, 3.0, "demo", "token=1", -2.0, True)]
    frame = Message(VIDEO, b"\x17\x01\0\0\0frame", 40, 1)
    metadata = Message(DATA_AMF0, amf0.encode("onMetaData", {"width": 640.0}), 0, 1)
    talk.server_says([Reply(5, metadata), Reply(7, frame)])
    expected = [StreamReady(1), Started(1, "NetStream.Play.Start"), Media(metadata), Media(frame)]
    assert talk.heard_by_client[1:] == expected


def test_a_player_that_closes_leaves_the_stream() -> None:
    talk = Conversation().started(publish=False)
    talk.client_says(talk.client.close())
    assert talk.asked(notice.PlayEnded) == [notice.PlayEnded(1, "deleteStream")]


def test_a_player_hears_that_the_publisher_came_and_went() -> None:
    talk = Conversation().started(publish=False)
    del talk.heard_by_client[:]
    talk.server_says(talk.server.published(1, "demo"))
    talk.server_says(talk.server.unpublished(1, "demo"))
    assert talk.heard_by_client == [
        Started(1, "NetStream.Play.PublishNotify"),
        Ended("StreamEOF"),
        Ended("NetStream.Play.UnpublishNotify"),
    ]


@pytest.mark.parametrize(
    ("asked", "error", "code", "publish"),
    [
        (notice.ConnectAsked, LimitReached("too many"), "NetConnection.Connect.Rejected", True),
        (notice.PublishAsked, StreamBusy("too many"), "NetStream.Publish.BadName", True),
        (notice.PlayAsked, StreamNotFound("too many"), "NetStream.Play.StreamNotFound", False),
    ],
)
def test_a_refusal_comes_with_its_code_and_reason(asked: type, error: Rejected, code: str, publish: bool) -> None:
    talk = Conversation(refuse={asked: error})
    talk.client_says(talk.client.connect(URL))
    if talk.client.state is State.CONNECTED:
        talk.client_says(talk.client.publish("demo") if publish else talk.client.play("demo"))
    assert talk.heard_by_client[-1] == Refused(code, "too many")
    assert talk.client.state is not State.STARTED


# --- other servers --------------------------------------------------------------------------------


def ready(publish: bool) -> ClientSession:
    session = Conversation().started(publish).client
    assert session.state is State.STARTED
    return session


def test_an_error_for_a_call_that_servers_may_not_know_is_nothing() -> None:
    talk = Conversation()
    talk.client_says(talk.client.connect(URL))
    talk.client.publish("demo")
    refused = command_message("_error", 2.0, None, {"level": "error", "code": "NetConnection.Call.Failed"})
    assert talk.client.receive(refused) == []


def test_an_error_for_create_stream_is_a_refusal() -> None:
    talk = Conversation()
    talk.client_says(talk.client.connect(URL))
    talk.client.play("demo")
    refused = command_message("_error", 2.0, None, {"level": "error", "code": "NetConnection.Call.Failed"})
    assert talk.client.receive(refused) == [Refused("NetConnection.Call.Failed", "the server gives no reason")]


def test_a_reason_in_the_place_of_the_command_object_is_found() -> None:
    session = ClientSession()
    session.connect(URL)
    refused = command_message("_error", 1.0, {"code": "NetConnection.Connect.Rejected", "description": "full"})
    assert session.receive(refused) == [Refused("NetConnection.Connect.Rejected", "full")]


def test_a_result_counts_once() -> None:
    session = ClientSession()
    session.connect(URL)
    answer = status.connect_result(1.0, Capabilities())
    assert len(session.receive(answer)) == 1
    assert session.receive(answer) == []


@pytest.mark.parametrize("msid", [0.0, -1.0, float("nan"), float("inf"), 2.0**32])
def test_a_message_stream_that_can_not_be_is_an_error(msid: float) -> None:
    talk = Conversation()
    talk.client_says(talk.client.connect(URL))
    talk.client.play("demo")
    with pytest.raises(CommandError):
        talk.client.receive(status.result(2.0, msid))


@pytest.mark.parametrize("code", ["NetStream.Play.Stop", "NetStream.Play.Complete", "NetConnection.Connect.Closed"])
def test_the_end_has_many_names(code: str) -> None:
    assert ready(publish=False).receive(on_status(code)) == [Ended(code)]


def test_play_status_as_a_data_message_ends_the_stream() -> None:
    body = amf0.encode("onPlayStatus", {"level": "status", "code": "NetStream.Play.Complete"})
    ended = [Ended("NetStream.Play.Complete")]
    assert ready(publish=False).receive(Message(DATA_AMF0, body, 0, 1)) == ended
    assert ready(publish=False).receive(Message(DATA_AMF3, b"\0" + body, 0, 1)) == ended


def test_a_refusal_with_the_wrong_level_is_still_one() -> None:
    heard = ready(publish=True).receive(on_status("NetStream.Publish.BadName"))
    assert heard == [Refused("NetStream.Publish.BadName", "because")]


def test_an_unknown_status_is_nothing_and_an_unknown_error_a_refusal() -> None:
    session = ready(publish=True)
    assert session.receive(on_status("NetStream.Some.Thing")) == []
    assert session.receive(on_status("NetStream.Some.Thing", "error")) == [Refused("NetStream.Some.Thing", "because")]


def test_on_fc_publish_refuses_but_does_not_start() -> None:
    session = ready(publish=True)
    assert session.receive(status.on_fc("onFCPublish", "NetStream.Publish.Start", "demo")) == []
    refused = status.on_fc("onFCPublish", "NetStream.Publish.BadName", "demo")
    assert session.receive(refused) == [Refused("NetStream.Publish.BadName", "demo")]


def test_a_reconnect_request_tells_where_to() -> None:
    code = "NetConnection.Connect.ReconnectRequest"
    session = ready(publish=True)
    asked = session.receive(on_status(code, tcUrl="rtmp://other.example/live"))
    assert asked == [ReconnectAsked("rtmp://other.example/live", "because")]
    assert session.receive(on_status(code)) == [ReconnectAsked("", "because")]


def test_stream_eof_counts_for_a_player_and_its_own_message_stream() -> None:
    assert ready(publish=False).user_control(STREAM_EOF, 1) == [Ended("StreamEOF")]
    assert ready(publish=False).user_control(STREAM_EOF, 2) == []
    assert ready(publish=True).user_control(STREAM_EOF, 1) == []


def test_a_call_of_the_server_that_waits_for_an_answer_gets_one() -> None:
    session = ready(publish=True)
    assert session.receive(command_message("onBWDone", 0.0, None)) == []
    [reply] = session.receive(command_message("_checkbw", 7.0, None))
    assert isinstance(reply, Reply)
    answer = read_command(reply.message, amf0.DEFAULT_LIMITS)
    assert (answer.name, answer.transaction) == ("_error", 7.0)


def test_media_for_a_publisher_is_dropped() -> None:
    assert ready(publish=True).receive(Message(VIDEO, b"\x17\x01\0\0\0", 0, 1)) == []


def test_requests_out_of_order_are_our_own_mistake() -> None:
    session = ClientSession()
    with pytest.raises(MisuseError):
        session.play("demo")
    session.connect(URL)
    with pytest.raises(MisuseError):
        session.connect(URL)


def test_closing_before_there_is_a_stream_says_nothing() -> None:
    session = ClientSession()
    session.connect(URL)
    assert session.close() == []
