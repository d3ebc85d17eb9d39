"""What a server session reports to the connection that runs it.

The session knows what a message means in its state; the connection knows what to do about it.
A notice is never changed; the classes are not frozen, for speed: every command and frame makes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .command import ConnectRequest
from .message import Message


class Reply(NamedTuple):
    """Send this message on this chunk stream."""

    csid: int
    message: Message


@dataclass(slots=True)
class ConnectAsked:
    """connect: answer with ``accept`` or ``reject``."""

    transaction: float
    request: ConnectRequest


@dataclass(slots=True)
class PublishAsked:
    """publish: answer with ``accept`` or ``reject``. ``name`` has lost its query, and may be empty."""

    msid: int
    transaction: float
    name: str
    query: str
    publish_type: str


@dataclass(slots=True)
class PlayAsked:
    """play: answer with ``accept`` or ``reject``. ``start`` in seconds, -2 live or recorded."""

    msid: int
    transaction: float
    name: str
    query: str
    start: float
    reset: bool


@dataclass(slots=True)
class PublishEnded:
    """The publisher said that it stops (``command``: deleteStream, closeStream, FCUnpublish ...)."""

    msid: int
    command: str


@dataclass(slots=True)
class PlayEnded:
    """The player said that it stops."""

    msid: int
    command: str


@dataclass(slots=True)
class PauseAsked:
    """pause: stop or resume the media of a playing message stream."""

    msid: int
    paused: bool


@dataclass(slots=True)
class ReceiveAsked:
    """receiveAudio or receiveVideo: leave that kind out, or send it again."""

    msid: int
    kind: str
    wanted: bool


@dataclass(slots=True)
class MediaArrived:
    """Audio, video or data of a publishing message stream. ``message`` has the id of that stream, even if the client
    wrote another one."""

    message: Message


@dataclass(slots=True)
class Violation:
    """Something the standard forbids and we let pass. ``phase`` is one of ``errors.PHASE_*``."""

    code: str
    detail: str
    phase: str


Asked: TypeAlias = ConnectAsked | PublishAsked | PlayAsked
Notice: TypeAlias = (
    Reply
    | Asked
    | PublishEnded
    | PlayEnded
    | PauseAsked
    | ReceiveAsked
    | MediaArrived
    | Violation
)
