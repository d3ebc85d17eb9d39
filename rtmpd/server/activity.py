"""What one connection publishes and plays at the moment, by message stream id."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.message import Message
from ..protocol.notice import PlayAsked, PublishAsked
from ..settings import PLAY, PUBLISH
from .access.lease import Lease, lease_of
from .access.question import Verdict
from .client import Client
from .context import Context
from .player import Playing
from .publisher import Publishing


class Activity:
    """``sinks`` takes the media of each publishing message stream, and of a stray one that is taken for the only one
    (``take``); it is the routing table of the ingest hot path. ``role`` is what the connection was last: "",
    ``publisher`` or ``subscriber``.

    No method switches greenlets.
    """

    __slots__ = (
        "_connection",
        "_context",
        "_dropped",
        "_leases",
        "_noted",
        "_stray",
        "players",
        "publishers",
        "role",
        "sinks",
    )

    def __init__(self, connection: Client, context: Context) -> None:
        self._connection = connection
        self._context = context
        self.publishers: dict[int, Publishing] = {}
        self.players: dict[int, Playing] = {}
        self.sinks: dict[int, Callable[[Message], None]] = {}
        self._leases: dict[int, Lease] = {}
        self._stray = 0
        self.role = ""
        self._dropped = 0  # frames of plays that are over
        self._noted = 0, 0, 0

    def publish(self, asked: PublishAsked, verdict: Verdict) -> Publishing:
        """Take the key. Raises StreamBusy, LimitReached."""
        publishing = Publishing(self._connection, self._context, asked)
        self._forget_stray()
        self.publishers[asked.msid] = publishing
        self._begun(PUBLISH, asked.msid, verdict)
        self.sinks[asked.msid] = publishing.media
        self.role = "publisher"
        self._settle()
        return publishing

    def play(self, asked: PlayAsked, verdict: Verdict) -> None:
        """Attach to the stream, with what a late joiner gets."""
        self.players[asked.msid] = Playing(self._connection, self._context, asked)
        self._begun(PLAY, asked.msid, verdict)
        self.role = self.role or "subscriber"
        self.gather()

    def stop_publishing(self, msid: int, reason: str, clean: bool) -> None:
        """End the publish of a message stream, if there is one."""
        self._forget_stray()
        self.sinks.pop(msid, None)
        publishing = self.publishers.pop(msid, None)
        if publishing is not None:
            publishing.stop(reason, clean)
            self._ended(PUBLISH, msid)
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
            self._ended(PLAY, msid)

    def stop_all(self, reason: str, clean: bool) -> None:
        """End everything."""
        for msid in tuple(self.publishers):
            self.stop_publishing(msid, reason, clean)
        for msid in tuple(self.players):
            self.stop_playing(msid, reason)

    def overdue(self, now: float) -> str:
        """Why a lease is over at the monotonic time ``now``, "" if none is."""
        for msid, lease in self._leases.items():
            publishing = self.publishers.get(msid)
            if reason := lease.overdue(now, publishing.total_bytes if publishing else 0):
                return reason
        return ""

    def _begun(self, action: str, msid: int, verdict: Verdict) -> None:
        self._context.quota.take(action, self._connection.app, self._connection.address)
        if lease := lease_of(verdict, self._context.clock.monotonic()):
            self._leases[msid] = lease

    def _ended(self, action: str, msid: int) -> None:
        self._context.quota.give(action, self._connection.app, self._connection.address)
        self._leases.pop(msid, None)

    @property
    def is_live(self) -> bool:
        """Whether media is going either way."""
        return bool(self.publishers) or any(playing.stream.live for playing in self.players.values())

    @property
    def stream_key(self) -> str:
        """Of what is published, or else played; "" if neither."""
        for publishing in self.publishers.values():
            return publishing.stream.key
        for playing in self.players.values():
            return playing.stream.key
        return ""

    @property
    def uncounted_bytes(self) -> int:
        """What was sent to the players of this connection past its writer's count."""
        if not self.players:
            return 0
        return sum(playing.subscriber.uncounted_bytes for playing in self.players.values())

    @property
    def waiting_frames(self) -> int:
        """Frames that wait for the players of this connection."""
        return sum(playing.subscriber.backlog_frames for playing in self.players.values())

    def moved(self) -> tuple[int, int, int]:
        """Bytes received, bytes sent and frames dropped since the last call."""
        received, sent, dropped = self._noted
        lost = self._dropped
        if self.players:
            lost += sum(playing.subscriber.frames_dropped for playing in self.players.values())
        self._noted = now = self._connection.peer.bytes_received, self._connection.bytes_sent, lost
        return now[0] - received, now[1] - sent, now[2] - dropped

    def _settle(self) -> None:
        """Have the streams flushed when the connection has read all there is."""
        peer = self._connection.peer
        peer.before_wait = self._flush_streams if self.publishers else None
        if len(self.publishers) == 1:
            (publishing,) = self.publishers.values()
            peer.before_wait = publishing.stream.idle
        self.gather()

    def gather(self) -> None:
        """Read a publisher no more often than its stream is sent on: each wake-up costs. To be called too when the
        streams have got another flush policy."""
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
