"""The client's side of the conversation: what an encoder, a player or a relay says to a server.

The mirror of ``session``: no socket, no policy. A request returns the replies to send; ``receive``
takes one message and returns what it means. One session has one message stream, as encoders and
players have.

::

    NEW --connect--> CONNECTING --Connected--> CONNECTED
    CONNECTED --publish, play--> PREPARING --StreamReady--> ASKED --Started--> STARTED
    any --close--> CLOSED

Source: RTMP 1.0, 7.2; releaseStream, FCPublish and FCUnpublish are what servers know from encoders;
capabilities and the Reconnect Request: Enhanced RTMP v2.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from .. import __version__
from ..errors import CommandError, MisuseError
from . import amf0, status
from .amf0 import AmfLimits
from .command import (
    CAPS_MODEX,
    CAPS_MULTITRACK,
    CAPS_NANOSECONDS,
    CAPS_RECONNECT,
    Command,
    amf0_body,
    command_message,
    read_command,
)
from .constants import (
    AUDIO,
    COMMAND_AMF0,
    COMMAND_AMF3,
    CSID_COMMAND,
    CSID_CONTROL,
    DATA_AMF0,
    DATA_AMF3,
    SET_BUFFER_LENGTH,
    STREAM_EOF,
    USER_CONTROL,
    VIDEO,
)
from .message import Message
from .notice import Reply
from .url import RtmpUrl

#: Old servers look for the name of a known encoder at its beginning.
FLASH_VER: Final = f"FMLE/3.0 (compatible; rtmpd/{__version__})"

# Enhanced RTMP v2, FourCcInfoMask: a relay or recorder forwards every codec and decodes none.
_CAN_FORWARD: Final = 4.0
_CAPS_EX: Final = CAPS_MULTITRACK | CAPS_MODEX | CAPS_NANOSECONDS
_BUFFER_LENGTH_MS: Final = 3000
_LIVE_OR_RECORDED: Final = -2.0


class State(enum.Enum):
    """Of the session and its message stream."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    PREPARING = "preparing"
    ASKED = "asked"
    STARTED = "started"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Connected:
    """The application was accepted. ``properties`` are the server's own (its version, capabilities)."""

    properties: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StreamReady:
    """The message stream exists, and publish or play was asked on it."""

    msid: int


@dataclass(frozen=True, slots=True)
class Started:
    """The server takes, or sends, media. A player that waits may see it twice: ``NetStream.Play.Start``
    for its request and ``NetStream.Play.PublishNotify`` for the publisher that came."""

    msid: int
    code: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server does not want this, or no longer."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Media:
    """Audio, video or data of the stream that is played, as it came."""

    message: Message


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is over. ``reason`` is a status code, ``StreamEOF``, or ``close``."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReconnectAsked:
    """The server wants us to come back: to ``tc_url``, or to where we are if that is ""."""

    tc_url: str
    description: str


ClientNotice: TypeAlias = Reply | Connected | StreamReady | Started | Refused | Media | Ended | ReconnectAsked

_MEDIA: Final = frozenset((AUDIO, VIDEO, DATA_AMF0, DATA_AMF3))
_COMMANDS: Final = frozenset((COMMAND_AMF0, COMMAND_AMF3))

# Data messages that the server makes itself: they report on the play and are not part of the stream.
_SERVER_DATA: Final = (amf0.encode("|RtmpSampleAccess"), amf0.encode("onStatus"))
_PLAY_STATUS: Final = amf0.encode("onPlayStatus")


class ClientSession:
    """One NetConnection with one NetStream.

    ``msid`` is 0 until StreamReady. Requests out of order raise MisuseError.
    """

    __slots__ = ("_calls", "_limits", "_name", "_publishes", "_transaction", "msid", "state")

    def __init__(self, limits: AmfLimits = amf0.DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._calls: dict[float, str] = {}
        self._transaction = 0.0
        self._name = ""
        self._publishes = False
        self.msid = 0
        self.state = State.NEW

    # --- requests -------------------------------------------------------------------------------

    def connect(self, url: RtmpUrl, reconnects: bool = False) -> list[Reply]:
        """Ask for the application. ``reconnects``: whether a ReconnectAsked would be followed."""
        self._move(State.NEW, State.CONNECTING)
        properties = {
            "app": url.app,
            "type": "nonprivate",
            "flashVer": FLASH_VER,
            "tcUrl": url.tc_url,
            "fpad": False,
            "capabilities": 239.0,
            "audioCodecs": 3575.0,
            "videoCodecs": 252.0,
            "videoFunction": 1.0,
            "objectEncoding": 0.0,
            "fourCcList": ["*"],
            "videoFourCcInfoMap": {"*": _CAN_FORWARD},
            "audioFourCcInfoMap": {"*": _CAN_FORWARD},
            "capsEx": float(_CAPS_EX | (CAPS_RECONNECT if reconnects else 0)),
        }
        return [self._call("connect", properties)]

    def publish(self, name: str) -> list[Reply]:
        """Ask to publish ``name`` (with its query); publish itself follows by a Reply of ``receive``."""
        self._move(State.CONNECTED, State.PREPARING)
        self._name, self._publishes = name, True
        return [
            self._call("releaseStream", None, name),
            self._call("FCPublish", None, name),
            self._call("createStream", None),
        ]

    def play(self, name: str) -> list[Reply]:
        """Ask to play ``name`` (with its query); play itself follows by a Reply of ``receive``."""
        self._move(State.CONNECTED, State.PREPARING)
        self._name, self._publishes = name, False
        return [self._call("createStream", None)]

    def close(self) -> list[Reply]:
        """Return the messages that end the stream, in any state. Most servers answer a publisher that had started
        with ``Ended``."""
        state, self.state = self.state, State.CLOSED
        if state not in (State.ASKED, State.STARTED):
            return []
        replies = [self._call("FCUnpublish", None, self._name)] if self._publishes else []
        return [*replies, self._call("deleteStream", None, float(self.msid))]

    def _move(self, before: State, after: State) -> None:
        if self.state is not before:
            raise MisuseError(f"the session is {self.state.value}, not {before.value}")
        self.state = after

    def _call(self, name: str, *values: Any, msid: int = 0) -> Reply:
        self._transaction += 1.0
        if name in _AWAITED:
            self._calls[self._transaction] = name
        return Reply(CSID_COMMAND, command_message(name, self._transaction, *values, msid=msid))

    # --- what the server says -------------------------------------------------------------------

    def receive(self, message: Message) -> list[ClientNotice]:
        """What a message of type 8 or higher means. Raises AmfError, CommandError."""
        if message.type_id in _MEDIA:
            return self._receive_media(message)
        if message.type_id not in _COMMANDS:
            return []
        command = read_command(message, self._limits)
        handler = _HANDLERS.get(command.name)
        if handler is not None:
            return handler(self, command)
        if not command.transaction:
            return []
        answer = status.error(command.transaction, "NetConnection.Call.Failed", f"Method not found ({command.name}).")
        return [Reply(CSID_COMMAND, answer)]

    def user_control(self, event: int, value: int) -> list[ClientNotice]:
        """What a user control event with a message stream id means."""
        if event == STREAM_EOF and value == self.msid and self.state is State.STARTED and not self._publishes:
            return [Ended("StreamEOF")]
        return []

    def _receive_media(self, message: Message) -> list[ClientNotice]:
        if self._publishes or self.state not in (State.ASKED, State.STARTED):
            return []
        if message.type_id in (AUDIO, VIDEO):
            return [Media(message)]
        body = amf0_body(message)
        if body.startswith(_SERVER_DATA):
            return []
        if body.startswith(_PLAY_STATUS):
            code = _information(amf0.decode_all(body, self._limits))["code"]
            return [Ended(code)] if code in _ENDS else []
        return [Media(message)]

    def _result(self, command: Command) -> list[ClientNotice]:
        answer = _ANSWERS.get(self._calls.pop(command.transaction, ""))
        return answer(self, command) if answer is not None else []

    def _error(self, command: Command) -> list[ClientNotice]:
        if self._calls.pop(command.transaction, None) is None:
            return []  # of releaseStream and the like, which many servers do not know
        return [_refused(_information((command.object, *command.arguments)))]

    def _connect_answered(self, command: Command) -> list[ClientNotice]:
        if self.state is not State.CONNECTING:
            return []
        self.state = State.CONNECTED
        return [Connected(command.object if isinstance(command.object, dict) else {})]

    def _stream_created(self, command: Command) -> list[ClientNotice]:
        if self.state is not State.PREPARING:
            return []
        msid = command.number(0)
        if not 1 <= msid < 2**32:
            raise CommandError(f"createStream made the message stream {msid}", "bad_message_stream")
        self.state = State.ASKED
        self.msid = int(msid)
        ready = StreamReady(self.msid)
        if self._publishes:
            return [ready, self._call("publish", None, self._name, "live", msid=self.msid)]
        buffer_length = struct.pack(">HII", SET_BUFFER_LENGTH, self.msid, _BUFFER_LENGTH_MS)
        return [
            ready,
            self._call("play", None, self._name, _LIVE_OR_RECORDED, msid=self.msid),
            Reply(CSID_CONTROL, Message(USER_CONTROL, buffer_length)),
        ]

    def _on_status(self, command: Command) -> list[ClientNotice]:
        information = _information(command.arguments)
        code = information["code"]
        if code in _STARTS:
            if self.state is State.ASKED:
                self.state = State.STARTED
            return [Started(self.msid, code)]
        if code in _ENDS:
            return [Ended(code)]
        if code == "NetConnection.Connect.ReconnectRequest":
            return [ReconnectAsked(information["tcUrl"], information["description"])]
        return [_refused(information)] if _is_refusal(information) else []

    def _on_fc(self, command: Command) -> list[ClientNotice]:
        information = _information(command.arguments)
        return [_refused(information)] if _is_refusal(information) else []

    def _close(self, command: Command) -> list[ClientNotice]:
        return [Ended("close")]


def _information(values: tuple[Any, ...] | list[Any]) -> dict[str, str]:
    """The texts of a status, "" for what is not there. Servers disagree on its position."""
    found = next((value for value in values if isinstance(value, dict) and isinstance(value.get("code"), str)), {})
    texts = {key: found.get(key) for key in ("level", "code", "description", "tcUrl")}
    return {key: text if isinstance(text, str) else "" for key, text in texts.items()}


def _is_refusal(information: dict[str, str]) -> bool:
    """An error by its level, or by the last word of its code where a server has the level wrong."""
    return information["level"] == "error" or information["code"].rpartition(".")[2] in _REFUSING_WORDS


def _refused(information: dict[str, str]) -> Refused:
    code = information["code"] or "NetConnection.Call.Failed"
    return Refused(code, information["description"] or "the server gives no reason")


_REFUSING_WORDS: Final = frozenset(("BadName", "Denied", "Failed", "InvalidApp", "Rejected", "StreamNotFound"))
_STARTS: Final = frozenset(("NetStream.Publish.Start", "NetStream.Play.Start", "NetStream.Play.PublishNotify"))
_ENDS: Final = frozenset(
    (
        "NetConnection.Connect.AppShutdown",
        "NetConnection.Connect.Closed",
        "NetStream.Play.Complete",
        "NetStream.Play.Stop",
        "NetStream.Play.UnpublishNotify",
        "NetStream.Unpublish.Success",
    )
)

_Handler: TypeAlias = Callable[[ClientSession, Command], list[ClientNotice]]

# calls that must not fail, and what it means that they did not; publish and play go on by onStatus
_AWAITED: Final = frozenset(("connect", "createStream", "publish", "play"))
_ANSWERS: Final[dict[str, _Handler]] = {
    "connect": ClientSession._connect_answered,
    "createStream": ClientSession._stream_created,
}
_HANDLERS: Final[dict[str, _Handler]] = {
    "_result": ClientSession._result,
    "_error": ClientSession._error,
    "onStatus": ClientSession._on_status,
    "onFCPublish": ClientSession._on_fc,
    "onFCSubscribe": ClientSession._on_fc,
    "close": ClientSession._close,
}
