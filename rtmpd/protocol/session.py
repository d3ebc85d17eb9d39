"""The server's side of the conversation: messages in, notices out.

A session knows the order of things and nothing else: no socket, no policy, no stream. ``receive``
takes one message and returns what it means as a list of notices; a request (connect, publish,
play) is answered later by ``accept`` or ``reject``, which return the replies to send.

States of a message stream, and what moves between them::

    IDLE --publish--> PUBLISH_ASKED --accept--> PUBLISHING --deleteStream, closeStream--> IDLE
    IDLE --play-----> PLAY_ASKED -----accept--> PLAYING -----deleteStream, closeStream--> IDLE
    *_ASKED --reject--> IDLE

Source: RTMP 1.0, 7.2; the answers to calls that the standard does not know (releaseStream,
FCPublish, FCUnpublish, FCSubscribe, getStreamLength, _checkbw) are those that encoders wait for.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from ..errors import PHASE_COMMAND, PHASE_MEDIA, AmfError, CommandError, Rejected
from . import status
from .amf0 import AmfLimits
from .command import NO_CAPABILITIES, Command, read_command, read_connect
from .constants import (
    AUDIO,
    COMMAND_AMF0,
    COMMAND_AMF3,
    CSID_COMMAND,
    CSID_CONTROL,
    CSID_DATA,
    CSID_STATUS,
    DATA_AMF0,
    DATA_AMF3,
    SHARED_OBJECT_AMF0,
    SHARED_OBJECT_AMF3,
    STREAM_BEGIN,
    STREAM_EOF,
    VIDEO,
)
from .control import user_control
from .message import Message
from .notice import (
    Asked,
    ConnectAsked,
    MediaArrived,
    Notice,
    PauseAsked,
    PlayAsked,
    PlayEnded,
    PublishAsked,
    PublishEnded,
    ReceiveAsked,
    Reply,
    Violation,
)


class State(enum.Enum):
    """The state of a message stream."""

    IDLE = "idle"
    PUBLISH_ASKED = "publish asked"
    PUBLISHING = "publishing"
    PLAY_ASKED = "play asked"
    PLAYING = "playing"


class _MessageStream:
    __slots__ = ("name", "state")

    def __init__(self) -> None:
        self.state = State.IDLE
        self.name = ""


_MAX_KNOWN: Final = 64  # answers to play that are remembered ...
_MAX_KNOWN_CHARS: Final = 256  # ... for names of at most so many characters

_MEDIA: Final = frozenset((AUDIO, VIDEO, DATA_AMF0, DATA_AMF3))
_COMMANDS: Final = frozenset((COMMAND_AMF0, COMMAND_AMF3))
_IGNORED: Final = frozenset((SHARED_OBJECT_AMF0, SHARED_OBJECT_AMF3))


class ServerSession:
    """One client's NetConnection and its NetStreams.

    ``message_streams`` bounds how many the client may create.
    """

    __slots__ = ("_limits", "_message_streams", "_next_msid", "_reconnects", "_strays", "_streams", "connected")

    def __init__(self, limits: AmfLimits, message_streams: int) -> None:
        self._limits = limits
        self._message_streams = message_streams
        self._streams: dict[int, _MessageStream] = {}
        self._next_msid = 1
        self._reconnects = False
        self._strays = False
        self.connected = False

    def receive(self, message: Message) -> list[Notice]:
        """What a message of type 8 or higher means. Raises AmfError, CommandError."""
        if message.type_id in _MEDIA:
            return self._media(message)
        if message.type_id in _IGNORED:
            return []
        if message.type_id not in _COMMANDS:
            return [Violation("unknown_message_type", f"a message of type {message.type_id}", PHASE_COMMAND)]
        if not message.payload and self.connected:
            return [Violation("empty_command", "a command message without a byte", PHASE_COMMAND)]
        command = read_command(message, self._limits)
        if not self.connected and command.name != "connect":
            raise CommandError(f"{command.name!r} before connect", "not_connected")
        try:
            return _HANDLERS.get(command.name, ServerSession._unknown)(self, command)
        except AmfError as error:  # handlers read first and act then
            if not self.connected:
                raise
            return self._unreadable(command, error)

    def _media(self, message: Message) -> list[Notice]:
        msid = message.msid
        stream = self._streams.get(msid)
        if stream is not None and stream.state is State.PUBLISHING:
            return [MediaArrived(message)]
        if not 0 < msid < self._next_msid:  # no createStream has returned it: small clients write 0, or count on
            publishing = [made for made, each in self._streams.items() if each.state is State.PUBLISHING]
            if len(publishing) == 1:
                meant = Message(message.type_id, message.payload, message.timestamp, publishing[0])
                return [*self._stray(msid, publishing[0]), MediaArrived(meant)]
        detail = f"media on message stream {msid}, which does not publish"
        return [Violation("media_without_publish", detail, PHASE_MEDIA)]

    def _stray(self, msid: int, meant: int) -> list[Notice]:
        """What a message stream that was never created means is clear if only one publishes; it is worth one report."""
        if self._strays:
            return []
        self._strays = True
        detail = f"media on message stream {msid}, which was not created; taken for {meant}, the one that publishes"
        return [Violation("unknown_message_stream", detail, PHASE_MEDIA)]

    def _unreadable(self, command: Command, error: AmfError) -> list[Notice]:
        """An argument that is needed cannot be read: the command fails, the connection goes on."""
        text = f"The arguments of {command.name} cannot be read: {error}."
        notices: list[Notice] = [Violation(error.code, f"{command.name}: {error}", PHASE_COMMAND)]
        if command.name in _FAILURES:
            answer = status.on_status(command.msid, "error", _FAILURES[command.name], text)
            notices.append(Reply(CSID_STATUS, answer))
        elif command.transaction:
            answer = status.error(command.transaction, "NetConnection.Call.Failed", text)
            notices.append(Reply(CSID_COMMAND, answer))
        return notices

    def _unknown(self, command: Command) -> list[Notice]:
        if not command.transaction:
            return []
        answer = status.error(command.transaction, "NetConnection.Call.Failed", f"Method not found ({command.name}).")
        return [Reply(CSID_COMMAND, answer)]

    # --- answers --------------------------------------------------------------------------------

    def accept(self, asked: Asked) -> list[Reply]:
        """The client gets what it asked for."""
        if isinstance(asked, ConnectAsked):
            self.connected = True
            capabilities = asked.request.capabilities
            self._reconnects = capabilities is not NO_CAPABILITIES and capabilities.can_reconnect
            answer = status.connect_result(asked.transaction, capabilities)
            return [Reply(CSID_COMMAND, answer)]
        stream = self._streams[asked.msid]
        stream.name = name = asked.name
        if isinstance(asked, PublishAsked):
            stream.state = State.PUBLISHING
            code, text = "NetStream.Publish.Start", f"Publishing {name}."
            answer = status.on_status(asked.msid, "status", code, text, details=name)
            return [Reply(CSID_CONTROL, user_control(STREAM_BEGIN, asked.msid)), Reply(CSID_STATUS, answer)]
        stream.state = State.PLAYING
        started = _play_started if len(name) > _MAX_KNOWN_CHARS else _known_play_started
        return list(started(asked.msid, name, asked.reset))

    def reject(self, asked: Asked, error: Rejected) -> list[Reply]:
        """The client does not get what it asked for; ``error.status`` is the code it sees."""
        if isinstance(asked, ConnectAsked):
            return [Reply(CSID_COMMAND, status.error(asked.transaction, error.status, str(error)))]
        self._streams[asked.msid].state = State.IDLE
        return [Reply(CSID_STATUS, status.on_status(asked.msid, "error", error.status, str(error)))]

    def published(self, msid: int, name: str) -> list[Reply]:
        """Return the messages for a player that waited: the stream is published now."""
        text = f"{name} is now published."
        return [
            Reply(CSID_CONTROL, user_control(STREAM_BEGIN, msid)),
            Reply(CSID_STATUS, status.on_status(msid, "status", "NetStream.Play.PublishNotify", text, details=name)),
        ]

    def unpublished(self, msid: int, name: str) -> list[Reply]:
        """Tell a player: the publisher is gone. Both forms are sent; every player knows one. The
        status comes last: ffmpeg closes on it, and what it has not read would make that a reset."""
        text = f"{name} is now unpublished."
        return [
            Reply(CSID_CONTROL, user_control(STREAM_EOF, msid)),
            Reply(CSID_STATUS, status.on_status(msid, "status", "NetStream.Play.UnpublishNotify", text, details=name)),
        ]

    def ask_to_reconnect(self, tc_url: str, description: str) -> list[Reply]:
        """Ask the client to come back, to ``tc_url`` or, if that is "", to where it is; nothing if it never said that
        it can. Source: Enhanced RTMP v2, Reconnect Request."""
        if not self._reconnects:
            return []
        where = {"tcUrl": tc_url} if tc_url else {}
        code = "NetConnection.Connect.ReconnectRequest"
        return [Reply(CSID_COMMAND, status.on_status(0, "status", code, description, **where))]

    # --- NetConnection --------------------------------------------------------------------------

    def _connect(self, command: Command) -> list[Notice]:
        if self.connected:
            return [Violation("connect_twice", "connect on a connected session", PHASE_COMMAND)]
        request = read_connect(command)
        if not request.app and (fault := command.fault) is not None:
            raise fault  # not a client that left something out, but bytes that are not a connect
        return [ConnectAsked(command.transaction, request)]

    def _create_stream(self, command: Command) -> list[Notice]:
        if len(self._streams) >= self._message_streams:
            text = f"More than {self._message_streams} message streams."
            return [Reply(CSID_COMMAND, status.error(command.transaction, "NetConnection.Call.Failed", text))]
        msid = self._next_msid
        self._next_msid += 1
        self._streams[msid] = _MessageStream()
        return [Reply(CSID_COMMAND, status.result(command.transaction, float(msid)))]

    def _release_stream(self, command: Command) -> list[Notice]:
        return _acknowledged(command)

    def _fc_publish(self, command: Command) -> list[Notice]:
        name = _name_said(command)
        answer = status.on_fc("onFCPublish", "NetStream.Publish.Start", name)
        return [*_acknowledged(command), Reply(CSID_COMMAND, answer)]

    def _fc_unpublish(self, command: Command) -> list[Notice]:
        name = command.stream_name(0).partition("?")[0]
        answer = status.on_fc("onFCUnpublish", "NetStream.Unpublish.Success", name)
        notices = [*_acknowledged(command), Reply(CSID_COMMAND, answer)]
        publishing = [(msid, stream) for msid, stream in self._streams.items() if stream.state is State.PUBLISHING]
        for msid, stream in publishing:
            if stream.name == name or (not name and len(publishing) == 1):
                notices += self._stop(msid, stream, command.name)
        return notices

    def _fc_subscribe(self, command: Command) -> list[Notice]:
        answer = status.on_fc("onFCSubscribe", "NetStream.Play.Start", _name_said(command))
        return [*_acknowledged(command), Reply(CSID_COMMAND, answer)]

    def _get_stream_length(self, command: Command) -> list[Notice]:
        return _answered(command, 0.0)

    def _check_bandwidth(self, command: Command) -> list[Notice]:
        return _answered(command, None)

    # --- NetStream ------------------------------------------------------------------------------

    def _publish(self, command: Command) -> list[Notice]:
        stream = self._streams.get(command.msid)
        if stream is None:
            return self._no_such_stream(command)
        wanted = command.argument(0)
        if wanted is False or wanted is None or (wanted == "" and stream.state is State.PUBLISHING):
            # publish(false) stops; some encoders publish an empty name just before they leave
            return self._stop(command.msid, stream, command.name)
        if stream.state is not State.IDLE:
            detail = f"publish on message stream {command.msid}, which is {stream.state.value}"
            return [Violation("publish_twice", detail, PHASE_COMMAND)]
        name, _, query = command.stream_name(0).partition("?")
        stream.state = State.PUBLISH_ASKED
        asked_type = command.optional(1)
        publish_type = asked_type if asked_type in ("live", "record", "append") else "live"
        return [PublishAsked(command.msid, command.transaction, name, query, publish_type)]

    def _play(self, command: Command) -> list[Notice]:
        start = command.optional(1)
        start = start if isinstance(start, float) else -2.0
        return self._ask_play(command, command.stream_name(0), start, command.optional(3) is not False)

    def _play2(self, command: Command) -> list[Notice]:
        options = command.argument(0)
        options = options if isinstance(options, dict) else {}
        name = options.get("streamName")
        return self._ask_play(command, name if isinstance(name, str) else "", -2.0, False)

    def _ask_play(self, command: Command, wanted: str, start: float, reset: bool) -> list[Notice]:
        stream = self._streams.get(command.msid)
        if stream is None:
            return self._no_such_stream(command)
        notices: list[Notice] = []
        if stream.state is State.PLAYING:
            notices += self._stop(command.msid, stream, command.name)
        elif stream.state is not State.IDLE:
            detail = f"{command.name} on message stream {command.msid}, which is {stream.state.value}"
            return [Violation("play_while_publishing", detail, PHASE_COMMAND)]
        name, _, query = wanted.partition("?")
        stream.state = State.PLAY_ASKED
        return [*notices, PlayAsked(command.msid, command.transaction, name, query, start, reset)]

    def _delete_stream(self, command: Command) -> list[Notice]:
        wanted = command.number(0, float(command.msid))
        msid = int(wanted) if 0 < wanted < 2**32 else 0
        stream = self._streams.pop(msid, None)
        return self._stop(msid, stream, command.name) if stream is not None else []

    def _close_stream(self, command: Command) -> list[Notice]:
        stream = self._streams.get(command.msid)
        return self._stop(command.msid, stream, command.name) if stream is not None else []

    def _stop(self, msid: int, stream: _MessageStream, why: str) -> list[Notice]:
        """Make the stream idle; a publisher gets the status of a success."""
        state, stream.state = stream.state, State.IDLE
        if state is State.PUBLISHING:
            text = f"Stopped publishing {stream.name}."
            answer = status.on_status(msid, "status", "NetStream.Unpublish.Success", text, details=stream.name)
            return [PublishEnded(msid, why), Reply(CSID_STATUS, answer)]
        return [PlayEnded(msid, why)] if state is State.PLAYING else []

    def _pause(self, command: Command) -> list[Notice]:
        stream = self._streams.get(command.msid)
        if stream is None or stream.state is not State.PLAYING:
            return []
        paused = command.argument(0) is not False
        code = "NetStream.Pause.Notify" if paused else "NetStream.Unpause.Notify"
        text = f"{'Paused' if paused else 'Resumed'} {stream.name}."
        answer = status.on_status(command.msid, "status", code, text, details=stream.name)
        return [Reply(CSID_STATUS, answer), PauseAsked(command.msid, paused)]

    def _seek(self, command: Command) -> list[Notice]:
        text = "A live stream cannot be searched."
        return [Reply(CSID_STATUS, status.on_status(command.msid, "error", "NetStream.Seek.Failed", text))]

    def _receive_audio(self, command: Command) -> list[Notice]:
        return self._receive_kind(command, "audio")

    def _receive_video(self, command: Command) -> list[Notice]:
        return self._receive_kind(command, "video")

    def _receive_kind(self, command: Command, kind: str) -> list[Notice]:
        stream = self._streams.get(command.msid)
        if stream is None or stream.state is not State.PLAYING:
            return []
        return [ReceiveAsked(command.msid, kind, command.argument(0) is not False)]

    def _no_such_stream(self, command: Command) -> list[Notice]:
        detail = f"{command.name} on message stream {command.msid}, which was not created"
        answer = status.on_status(command.msid, "error", "NetStream.Failed", detail)
        return [Reply(CSID_STATUS, answer), Violation("no_such_stream", detail, PHASE_COMMAND)]


def _play_started(msid: int, name: str, reset: bool) -> tuple[Reply, ...]:
    answers = [Reply(CSID_CONTROL, user_control(STREAM_BEGIN, msid))]
    if reset:
        text = f"Playing and resetting {name}."
        answer = status.on_status(msid, "status", "NetStream.Play.Reset", text, details=name)
        answers.append(Reply(CSID_STATUS, answer))
    answer = status.on_status(msid, "status", "NetStream.Play.Start", f"Started playing {name}.", details=name)
    return (*answers, Reply(CSID_STATUS, answer), Reply(CSID_DATA, status.sample_access(msid)))


_known_play_started: Final = lru_cache(maxsize=_MAX_KNOWN)(_play_started)  # all players of a stream are answered alike


def _name_said(command: Command) -> str:
    """The stream's name in a call that only wants it back."""
    name = command.optional(0)
    return name.partition("?")[0] if isinstance(name, str) else ""


def _acknowledged(command: Command) -> list[Notice]:
    """``_result`` without a value if the caller waits for one."""
    return [Reply(CSID_COMMAND, status.empty_result(command.transaction))] if command.transaction else []


def _answered(command: Command, value: Any) -> list[Notice]:
    """``_result`` if the caller waits for one."""
    if not command.transaction:
        return []
    return [Reply(CSID_COMMAND, status.result(command.transaction, value))]


_Handler: TypeAlias = Callable[[ServerSession, Command], list[Notice]]

_HANDLERS: Final[dict[str, _Handler]] = {
    "connect": ServerSession._connect,
    "createStream": ServerSession._create_stream,
    "initStream": ServerSession._release_stream,
    "releaseStream": ServerSession._release_stream,
    "FCPublish": ServerSession._fc_publish,
    "FCUnpublish": ServerSession._fc_unpublish,
    "FCSubscribe": ServerSession._fc_subscribe,
    "getStreamLength": ServerSession._get_stream_length,
    "_checkbw": ServerSession._check_bandwidth,
    "publish": ServerSession._publish,
    "play": ServerSession._play,
    "play2": ServerSession._play2,
    "deleteStream": ServerSession._delete_stream,
    "closeStream": ServerSession._close_stream,
    "pause": ServerSession._pause,
    "pauseRaw": ServerSession._pause,
    "seek": ServerSession._seek,
    "receiveAudio": ServerSession._receive_audio,
    "receiveVideo": ServerSession._receive_video,
}

_FAILURES: Final = {
    "publish": "NetStream.Publish.BadName",
    "play": "NetStream.Play.Failed",
    "play2": "NetStream.Play.Failed",
}
