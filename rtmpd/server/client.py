"""A connected client as the parts of its connection see it.

The connection knows its parts; they know this and not the connection, so that each can be read by
itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..errors import PeerError
from ..net.peer import Peer
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


class Client(Protocol):
    """``address`` and ``port`` are the client's, ``app`` and ``flash_ver`` what it said in connect,
    times are monotonic seconds. ``deadline`` is when the step ``deadline_code`` must be done (0:
    none); ``watched_at``, ``watched_bytes`` and ``pinged`` are the watch's own notes.

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
    def publishers(self) -> Iterable[Published]:
        """What it publishes."""

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
