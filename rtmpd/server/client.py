"""A connected client as the parts of its connection see it.

The connection knows its parts; they know this and not the connection, so that each can be read by
itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..errors import PeerError
from ..net.peer import Peer
from ..protocol.notice import Reply
from ..protocol.session import ServerSession


class Published(Protocol):
    """A publish of a client, as the watch sees it."""

    @property
    def has_media(self) -> bool:
        """Whether anything was published yet."""

    def watch(self, now: float) -> None:
        """Called about once a second with the monotonic time."""

    def stalled_s(self) -> float:
        """Seconds since the last media message."""


class Played(Protocol):
    """A play of a client, as the watch sees it."""

    def watch(self, now: float) -> None:
        """Called about once a second with the monotonic time."""


class Moving(Protocol):
    """What a client moves, as the accounts of the server see it (``activity``)."""

    @property
    def apps(self) -> frozenset[str]:
        """The applications of its streams if it has more than one stream."""

    @property
    def waiting_frames(self) -> int:
        """Frames that wait for its players."""

    def moved(self) -> tuple[int, int, int]:
        """Bytes received, bytes sent and frames dropped since the last call."""

    def reconfigure(self) -> None:
        """Follow the settings of the applications."""


class Client(Protocol):
    """``address`` and ``port`` are the client's. ``app`` is the application that its last stream belongs to, before
    that the one of connect; ``flash_ver`` is what it said in connect. Times are monotonic seconds. ``deadline`` is when
    the step ``deadline_code`` must be done (0: none); ``watched_at``, ``watched_bytes`` and ``pinged`` are the watch's
    own notes.

    See ``connection.Connection``, which is the only one.
    """

    conn_id: str
    address: str
    port: int
    app: str
    flash_ver: str
    accepted_at: float
    peer: Peer
    session: ServerSession
    deadline: float
    deadline_code: str
    watched_at: float
    watched_bytes: int
    pinged: bool

    @property
    def players(self) -> Iterable[Played]:
        """What it plays."""

    @property
    def activity(self) -> Moving:
        """What it moves."""

    @property
    def publishers(self) -> Iterable[Published]:
        """What it publishes."""

    @property
    def waits(self) -> bool:
        """Whether it waits for a verdict, and so does not read."""

    def overdue(self, now: float) -> str:
        """Why something that was granted for a while is over at the monotonic time ``now``, "" if nothing is."""

    @property
    def phase(self) -> str:
        """Where in its life the connection is, as errors tell it."""

    @property
    def role(self) -> str:
        """What it was last: "", ``publisher`` or ``subscriber``."""

    @property
    def stream_key(self) -> str:
        """Of what it publishes, or else plays; "" if neither."""

    @property
    def bytes_sent(self) -> int:
        """Everything that was sent on this connection."""

    def end(self, reason: str, error: PeerError | None = None) -> None:
        """Have the connection end, from anywhere. Never switches, never raises."""

    def send(self, replies: Iterable[Reply]) -> None:
        """Send replies in one piece. Never switches, never raises."""

    def expect(self, step: str, seconds: float) -> None:
        """The next step must be done within ``seconds`` (0: whenever)."""

    def leave(self, reason: str) -> None:
        """End the connection when what was sent last has arrived. Never switches."""
