"""A play: from the accepted request to its one play_stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..codec.classify import AUDIO, VIDEO
from ..identity import StreamId
from ..log import logger
from ..protocol.notice import PlayAsked, Reply
from ..stream.stream import Stream
from ..stream.subscriber import Subscriber
from .context import Context
from .periodic import Counts, PlayerCheck

if TYPE_CHECKING:
    from .connection import Connection

_log = logger("server")
_KINDS = {"audio": AUDIO, "video": VIDEO}


class Playing:
    """One message stream that plays. ``app`` and ``counted_for`` are as for ``publisher.Publishing``."""

    __slots__ = (
        "_check",
        "_connection",
        "_context",
        "_msid",
        "_name",
        "_paused",
        "_started_at",
        "address",
        "app",
        "conn_id",
        "counted_for",
        "protocol",
        "session_id",
        "stream",
        "subscriber",
    )

    def __init__(self, connection: Connection, context: Context, asked: PlayAsked, stream: StreamId) -> None:
        self._connection = connection
        self._context = context
        self.conn_id = connection.conn_id
        self.address = connection.address
        self._msid = asked.msid
        self._name = asked.name
        self._paused = False
        self._started_at = context.clock.monotonic()
        self.session_id = context.next_session_id()
        self.app = self.counted_for = stream.app
        self.protocol = "rtmp"
        settings = context.apps.of(stream.app)
        self.subscriber = Subscriber(
            connection.peer.writer,
            self,
            connection.peer.out_chunk_size,
            asked.msid,
            settings.backlog_bytes,
            settings.backlog_ms,
        )
        self.stream: Stream = context.registry.join(*stream, self.subscriber)
        self._check: PlayerCheck | None = None  # from the first look on at which there are reports
        report_play_start(context, self)

    def published(self) -> None:
        """Notify the player that the stream it waits for has a publisher."""
        self._notify(self._connection.session.published(self._msid, self._name))

    def unpublished(self) -> None:
        """Notify the player that the publisher is gone; the player may leave or wait for the next."""
        self._notify(self._connection.session.unpublished(self._msid, self._name))

    def _notify(self, replies: list[Reply]) -> None:
        for reply in replies:
            self.subscriber.notify(reply.message)

    def pause(self, paused: bool) -> None:
        """Stop or resume; resuming goes on at the next keyframe."""
        if paused and not self._paused:
            self.stream.pause(self.subscriber)
        elif self._paused and not paused:
            self.stream.rejoin(self.subscriber, wait_for_keyframe=True)
        self._paused = paused

    def receive(self, kind: str, wanted: bool) -> None:
        """Leave audio or video out, or send it again."""
        mask = _KINDS[kind]
        wants = self.subscriber.wants | mask if wanted else self.subscriber.wants & ~mask
        if wants != self.subscriber.wants:
            self.subscriber.wants = wants
            if not self._paused:
                self.stream.rejoin(self.subscriber, wait_for_keyframe=wanted and mask == VIDEO)

    def facts(self, now: float) -> dict[str, object]:
        """Return the state of this play at the monotonic time ``now``, for status pages."""
        return {
            "conn_id": self.conn_id,
            "session_id": self.session_id,
            "address": self.address,
            "protocol": self.protocol,
            "age_s": round(now - self._started_at, 3),
            "bytes_sent": self.subscriber.bytes_sent,
            "frames_dropped": self.subscriber.frames_dropped,
            "backlog_frames": self.subscriber.backlog_frames,
            "paused": self._paused,
        }

    def watch(self, now: float) -> None:
        """Emit the periodic report if it is due. Called about once a second."""
        if self._check is None:
            if not self._context.apps.of(self.stream.app).update_interval_s:
                return
            self._check = PlayerCheck(self._context, self.conn_id, self.session_id, self.stream, self._started_at)
        self._check.check(now, self.subscriber)

    def stop(self, reason: str) -> None:
        """Leave the stream and emit the end of the play with ``reason``."""
        duration_s = self._context.clock.monotonic() - self._started_at
        report_play_stop(self._context, self, self.subscriber, duration_s, reason)
        # last, as it may be the end of the stream, which is reported after the end of the play
        self.stream.detach(self.subscriber)


class Play(Protocol):
    """A session of a player, over RTMP or HTTP. ``conn_id`` and ``address`` are those of its connection."""

    conn_id: str
    address: str
    app: str
    protocol: str
    session_id: str
    stream: Stream


def report_play_start(context: Context, play: Play) -> None:
    """Report that a player is attached to its stream."""
    key = play.stream.key
    context.emit(
        "play_start",
        conn_id=play.conn_id,
        stream_key=key,
        app=play.app,
        session_id=play.session_id,
        client_ip=play.address,
        protocol=play.protocol,
    )
    context.emit("subscriber_count", conn_id=play.conn_id, stream_key=key, count=play.stream.players)
    _log.info("play started", conn_id=play.conn_id, stream_key=key, session_id=play.session_id, protocol=play.protocol)


def report_play_stop(context: Context, play: Play, counts: Counts, duration_s: float, reason: str) -> None:
    """Report that a player is about to leave its stream."""
    key = play.stream.key
    duration = round(duration_s, 3)
    context.emit(
        "play_stop",
        conn_id=play.conn_id,
        stream_key=key,
        app=play.app,
        session_id=play.session_id,
        client_ip=play.address,
        protocol=play.protocol,
        duration_sec=duration,
        bytes_sent=counts.bytes_sent,
        frames_dropped=counts.frames_dropped,
        reason=reason,
    )
    context.emit("subscriber_count", conn_id=play.conn_id, stream_key=key, count=play.stream.players - 1)
    _log.info("play stopped", conn_id=play.conn_id, stream_key=key, reason=reason, duration_sec=duration)
