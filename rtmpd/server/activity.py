"""What one connection publishes and plays at the moment, by message stream id."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.message import Message
from ..protocol.notice import PlayAsked, PublishAsked
from .client import Client
from .context import Context
from .player import Playing
from .publisher import Publishing


class Activity:
    """``sinks`` takes the media of each publishing message stream; it is the routing table of the
    ingest hot path. ``role`` is what the connection was last: "", ``publisher`` or ``subscriber``.

    No method switches greenlets.
    """

    __slots__ = ("_connection", "_context", "players", "publishers", "role", "sinks")

    def __init__(self, connection: Client, context: Context) -> None:
        self._connection = connection
        self._context = context
        self.publishers: dict[int, Publishing] = {}
        self.players: dict[int, Playing] = {}
        self.sinks: dict[int, Callable[[Message], None]] = {}
        self.role = ""

    def publish(self, asked: PublishAsked) -> Publishing:
        """Take the key. Raises StreamBusy, LimitReached."""
        publishing = Publishing(self._connection, self._context, asked)
        self.publishers[asked.msid] = publishing
        self.sinks[asked.msid] = publishing.media
        self.role = "publisher"
        self._settle()
        return publishing

    def play(self, asked: PlayAsked) -> None:
        """Attach to the stream, with what a late joiner gets."""
        self.players[asked.msid] = Playing(self._connection, self._context, asked)
        self.role = self.role or "subscriber"
        self._gather()

    def stop_publishing(self, msid: int, reason: str, clean: bool) -> None:
        """End the publish of a message stream, if there is one."""
        self.sinks.pop(msid, None)
        publishing = self.publishers.pop(msid, None)
        if publishing is not None:
            publishing.stop(reason, clean)
            self._settle()

    def stop_playing(self, msid: int, reason: str) -> None:
        """End the play of a message stream, if there is one."""
        playing = self.players.pop(msid, None)
        if playing is not None:
            playing.stop(reason)

    def stop_all(self, reason: str, clean: bool) -> None:
        """End everything."""
        for msid in tuple(self.publishers):
            self.stop_publishing(msid, reason, clean)
        for msid in tuple(self.players):
            self.stop_playing(msid, reason)

    @property
    def only_listens(self) -> bool:
        """Whether all that is going on is playing."""
        return bool(self.players) and not self.publishers

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
        return sum(playing.subscriber.uncounted_bytes for playing in self.players.values())

    def _settle(self) -> None:
        """Have the streams flushed when the connection has read all there is."""
        peer = self._connection.peer
        peer.before_wait = self._flush_streams if self.publishers else None
        if len(self.publishers) == 1:
            (publishing,) = self.publishers.values()
            peer.before_wait = publishing.stream.idle
        self._gather()

    def _gather(self) -> None:
        """Read a publisher no more often than its stream is sent on: each wake-up costs."""
        streams = [publishing.stream for publishing in self.publishers.values()]
        gather_s = streams[0].gather_s if len(streams) == 1 and not self.players else 0.0
        self._connection.peer.transport.gather_s = gather_s
        for stream in streams:
            stream.set_gathered(gather_s > 0)

    def _flush_streams(self) -> None:
        for publishing in self.publishers.values():
            publishing.stream.idle()
