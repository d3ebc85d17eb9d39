"""The publishes and plays of one connection, by message stream id."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..identity import StreamId
from ..protocol.message import Message
from ..protocol.notice import PlayAsked, PublishAsked
from ..settings import PLAY, PUBLISH
from .access.lease import Lease, lease_of
from .access.question import ADMITTED, Verdict
from .context import Context
from .player import Playing
from .publisher import Publishing

if TYPE_CHECKING:
    from .connection import Connection

_NONE: Final[frozenset[str]] = frozenset()
_NO_STRAY: Final = -1


class Activity:
    """``sinks`` takes the media of each publishing message stream, and of a stray one that is taken for the only one
    (``take``); it is the routing table of the ingest hot path. ``role`` is what the connection was last: "",
    ``publisher`` or ``subscriber``. ``apps`` are the applications of its streams if it has more than one stream, else
    empty: then the connection's own ``app`` says it.
    """

    __slots__ = (
        "_connection",
        "_context",
        "_dropped",
        "_leases",
        "_noted",
        "_stray",
        "apps",
        "players",
        "publishers",
        "role",
        "sinks",
    )

    def __init__(self, connection: Connection, context: Context) -> None:
        self._connection = connection
        self._context = context
        self.publishers: dict[int, Publishing] = {}
        self.players: dict[int, Playing] = {}
        self.sinks: dict[int, Callable[[Message], None]] = {}
        self._leases: dict[int, Lease] = {}
        self._stray = _NO_STRAY
        self.role = ""
        self.apps: frozenset[str] = _NONE
        self._dropped = 0  # frames of plays that are over
        self._noted = 0, 0, 0

    def publish(self, asked: PublishAsked, stream: StreamId, verdict: Verdict) -> Publishing:
        """Take the key of ``stream``. Raises StreamBusy, LimitReached."""
        publishing = Publishing(self._connection, self._context, stream, verdict.identity)
        if self._stray != _NO_STRAY:
            self._forget_stray()
        self.publishers[asked.msid] = publishing
        self._begun(PUBLISH, asked.msid, publishing, verdict)
        self.sinks[asked.msid] = publishing.media
        self.role = "publisher"
        self._settle()
        return publishing

    def play(self, asked: PlayAsked, stream: StreamId, verdict: Verdict) -> None:
        """Attach to ``stream``, with what a late joiner gets."""
        playing = self.players[asked.msid] = Playing(self._connection, self._context, asked, stream)
        self._begun(PLAY, asked.msid, playing, verdict)
        self.role = self.role or "subscriber"
        self.gather()

    def stop_publishing(self, msid: int, reason: str, clean: bool) -> None:
        """End the publish of a message stream, if there is one."""
        if self._stray != _NO_STRAY:
            self._forget_stray()
        self.sinks.pop(msid, None)
        publishing = self.publishers.pop(msid, None)
        if publishing is not None:
            publishing.stop(reason, clean)
            self._ended(PUBLISH, msid, publishing)
            self._settle()

    def take(self, message: Message, said: int) -> None:
        """Media of a publish. If the message named another message stream, ``said``, what comes of that one next goes
        to the publish directly, as long as that is the only one."""
        sink = self.sinks[message.msid]
        if said != message.msid:
            self._forget_stray()
            self._stray = said
            self.sinks[said] = sink
        sink(message)

    def _forget_stray(self) -> None:
        if self._stray not in self.publishers:
            self.sinks.pop(self._stray, None)

    def stop_playing(self, msid: int, reason: str) -> None:
        """End the play of a message stream, if there is one."""
        playing = self.players.pop(msid, None)
        if playing is not None:
            playing.stop(reason)
            self._dropped += playing.subscriber.frames_dropped
            self._ended(PLAY, msid, playing)

    def stop_all(self, reason: str, clean: bool) -> None:
        """Stop every publish and every play of the connection."""
        for msid in tuple(self.publishers):
            self.stop_publishing(msid, reason, clean)
        for msid in tuple(self.players):
            self.stop_playing(msid, reason)

    def overdue(self, now: float) -> str:
        """Return why a lease is over at the monotonic time ``now``, "" if all still hold."""
        for msid, lease in self._leases.items():
            publishing = self.publishers.get(msid)
            if reason := lease.overdue(now, publishing.total_bytes if publishing else 0):
                return reason
        return ""

    def _begun(self, action: str, msid: int, session: Publishing | Playing, verdict: Verdict) -> None:
        session.counted_for = session.stream.app
        self._context.quota.take(action, session.counted_for, self._connection.address)
        if len(self.publishers) + len(self.players) > 1:
            self._note_apps()
        if verdict is not ADMITTED and (lease := lease_of(verdict, self._context.clock.monotonic())):
            self._leases[msid] = lease

    def _ended(self, action: str, msid: int, session: Publishing | Playing) -> None:
        self._context.quota.give(action, session.counted_for, self._connection.address)
        if self.apps:
            self._note_apps()
        self._leases.pop(msid, None)

    def _note_apps(self) -> None:
        sessions: list[Publishing | Playing] = [*self.publishers.values(), *self.players.values()]
        self.apps = frozenset(session.stream.app for session in sessions) if len(sessions) > 1 else _NONE

    def reconfigure(self) -> None:
        """Follow the settings of the applications: the flush policies, and which application each stream belongs to."""
        for action, sessions in ((PUBLISH, self.publishers), (PLAY, self.players)):
            for session in sessions.values():
                if session.counted_for != session.stream.app:
                    self._context.quota.give(action, session.counted_for, self._connection.address)
                    session.counted_for = self._connection.app = session.stream.app
                    self._context.quota.take(action, session.counted_for, self._connection.address)
        self._note_apps()
        self.gather()

    @property
    def is_live(self) -> bool:
        """Return whether media is going either way."""
        return bool(self.publishers) or any(playing.stream.live for playing in self.players.values())

    @property
    def stream_key(self) -> str:
        """The key of the stream that is published, or else played; "" if neither."""
        for publishing in self.publishers.values():
            return publishing.stream.key
        for playing in self.players.values():
            return playing.stream.key
        return ""

    @property
    def uncounted_bytes(self) -> int:
        """Bytes sent to the players of this connection that its writer has not counted."""
        return sum(playing.subscriber.uncounted_bytes for playing in self.players.values())

    @property
    def waiting_frames(self) -> int:
        """The number of frames that wait for the players of this connection."""
        return sum(playing.subscriber.backlog_frames for playing in self.players.values())

    def moved(self) -> tuple[int, int, int]:
        """Return the bytes received, bytes sent and frames dropped since the last call."""
        received, sent, dropped = self._noted
        lost = self._dropped
        if self.players:
            lost += sum(playing.subscriber.frames_dropped for playing in self.players.values())
        self._noted = now = self._connection.peer.bytes_received, self._connection.bytes_sent, lost
        return now[0] - received, now[1] - sent, now[2] - dropped

    def _settle(self) -> None:
        """Make the peer flush the streams whenever the connection has read all there is."""
        peer = self._connection.peer
        peer.before_wait = self._flush_streams if self.publishers else None
        if len(self.publishers) == 1:
            (publishing,) = self.publishers.values()
            peer.before_wait = publishing.stream.idle
        self.gather()

    def gather(self) -> None:
        """Read a publisher no more often than its stream is sent on: each wake-up costs."""
        gather_s = 0.0
        if len(self.publishers) == 1 and not self.players:
            (publishing,) = self.publishers.values()
            gather_s = publishing.stream.gather_s
        self._connection.peer.transport.gather_s = gather_s
        for publishing in self.publishers.values():
            publishing.stream.set_gathered(gather_s > 0)

    def _flush_streams(self) -> None:
        for publishing in self.publishers.values():
            publishing.stream.idle()
