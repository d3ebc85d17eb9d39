"""What is checked about once a second: a publisher that stalls, a stream without a player, the periodic report.

Each object here is called about once a second, and that is how exact its times are. Settings are those of the
application at that moment.
"""

from __future__ import annotations

from typing import Protocol

from ..stream.stream import Stream
from .context import Context


class Counts(Protocol):
    """What was sent to a player: a subscriber, or a viewer over HTTP."""

    @property
    def bytes_sent(self) -> int:
        """Bytes of media."""

    @property
    def frames_dropped(self) -> int:
        """Frames that it was too slow for."""

    @property
    def queue_ms(self) -> int:
        """How long what waits for it plays."""


class _Session:
    """The session that is checked, and its periodic report, ``session_update``."""

    __slots__ = ("_context", "_reported_at", "_reported_bytes", "_role", "_stream", "conn_id", "session_id")

    def __init__(self, context: Context, role: str, conn_id: str, session_id: str, stream: Stream, now: float) -> None:
        self._context = context
        self._role = role
        self._stream = stream
        self.conn_id = conn_id
        self.session_id = session_id
        self._reported_at = now
        self._reported_bytes = 0

    def emit(self, type: str, **data: object) -> None:
        """Emit an event of this session."""
        self._context.emit(type, conn_id=self.conn_id, stream_key=self._stream.key, **data)

    def is_due(self, now: float) -> bool:
        """Return whether the report is due."""
        interval_s = self._context.apps.of(self._stream.app).update_interval_s
        return interval_s > 0 and now - self._reported_at >= interval_s

    def report(self, now: float, bytes: int, **others: int) -> None:
        """Emit ``session_update``; ``bytes`` are those of the media so far, ``others`` further fields of this role."""
        bitrate = round((bytes - self._reported_bytes) * 8 / (now - self._reported_at))
        self._reported_at = now
        self._reported_bytes = bytes
        self.emit("session_update", role=self._role, session_id=self.session_id, bytes=bytes, **others, bitrate=bitrate)


class PublisherCheck(_Session):
    """``publish_stalled``, ``publish_resumed``, ``stream_idle`` and the report of a publisher."""

    __slots__ = ("_is_idle", "_played_at", "_stalled_at")

    def __init__(self, context: Context, conn_id: str, session_id: str, stream: Stream, now: float) -> None:
        super().__init__(context, "publisher", conn_id, session_id, stream, now)
        self._played_at = now
        self._is_idle = False
        self._stalled_at: float | None = None  # when the media came that was the last

    def check(self, now: float, media_at: float, bytes: int, frames: int) -> None:
        """Check a publisher from its first media on: ``media_at`` is when media came last, ``bytes`` and ``frames`` how
        much came so far."""
        self._look_for_stall(now, media_at)
        self._look_for_players(now)
        if self.is_due(now):
            self.report(now, bytes, frames=frames)

    def _look_for_stall(self, now: float, media_at: float) -> None:
        if self._stalled_at is None:
            limit_s = self._context.apps.of(self._stream.app).stalled_after_s
            if now - media_at >= limit_s:
                self._stalled_at = media_at
                self.emit("publish_stalled", idle_ms=round((now - media_at) * 1000), session_id=self.session_id)
        elif media_at > self._stalled_at:
            idle_ms = round((media_at - self._stalled_at) * 1000)
            self._stalled_at = None
            self.emit("publish_resumed", idle_ms=idle_ms, session_id=self.session_id)

    def _look_for_players(self, now: float) -> None:
        if self._stream.players:
            self._played_at = now
            self._is_idle = False
            return
        limit_s = self._context.apps.of(self._stream.app).idle_after_s
        idle_s = now - self._played_at
        if limit_s and idle_s >= limit_s and not self._is_idle:
            self._is_idle = True
            self.emit("stream_idle", idle_sec=round(idle_s, 3))


class PlayerCheck(_Session):
    """The report of a player. What it was sent is counted in bytes only."""

    __slots__ = ()

    def __init__(self, context: Context, conn_id: str, session_id: str, stream: Stream, now: float) -> None:
        super().__init__(context, "subscriber", conn_id, session_id, stream, now)

    def check(self, now: float, subscriber: Counts) -> None:
        """Emit the periodic report of a player if it is due."""
        if self.is_due(now):
            dropped, queue_ms = subscriber.frames_dropped, subscriber.queue_ms
            self.report(now, subscriber.bytes_sent, frames_dropped=dropped, queue_ms=queue_ms)
