"""What is made of a stream once, and sent to many viewers.

A feed makes of the frames of a stream what its viewers get, and sends that with the loop that
serves RTMP players (``stream.fanout``): the same bytes to everybody, one send for each viewer and flush, a bounded
backlog for a slow one, which resumes at a keyframe, and an end for a hopeless one. The publisher waits for nobody.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from ..clock import Clock
from ..errors import ConnectionLost
from ..identity import StreamId
from ..log import logger
from ..net.transport import Transport
from ..net.writer import Writer
from ..settings import AppSettings
from ..stream.fanout import Group
from ..stream.frame import Frame
from ..stream.stream import Stream
from ..stream.subscriber import EVERYTHING, Subscriber
from ..stream.tap import Tap

CLIENT_CLOSED: Final = "client_closed"
SERVER_STOP: Final = "server_stop"
SLOW_PLAYER: Final = "slow_player"
UNPUBLISHED: Final = "unpublished"

_RESETS: Final = frozenset(("ECONNRESET", "EPIPE"))
_SEND_LIMIT_BYTES: Final = 2 * 1024 * 1024  # that wait besides the frames: answers to pings
_LAST_BYTES_S: Final = 5.0  # for what waits for a viewer at the end, and for its close

_log = logger("playback")


class Session(Protocol):
    """The session of a viewer (``server.viewing``)."""

    @property
    def conn_id(self) -> str:
        """The id that the viewer is known by."""

    @property
    def stream(self) -> Stream:
        """What it watches."""

    def stop(self, reason: str) -> None:
        """Report the end; only the first call counts."""


class Counted(Protocol):
    """A viewer, as its session sees it."""

    @property
    def bytes_sent(self) -> int:
        """Bytes of media."""

    @property
    def frames_dropped(self) -> int:
        """Frames that it was too slow for."""

    @property
    def queue_ms(self) -> int:
        """How long what waits for it plays."""

    def end(self, reason: str) -> None:
        """Send no more; the session is stopped with ``reason``. Must not switch greenlets."""

    def watch(self, now: float) -> None:
        """Called about once a second with the monotonic time."""


class Ticket(Protocol):
    """A client that was admitted to ``stream``."""

    @property
    def stream(self) -> StreamId:
        """The stream."""

    def begin(self, protocol: str, viewer: Counted) -> Session:
        """Begin the session. Raises Rejected, which has been reported."""


class Feed(ABC):
    """One form of one stream, with the group of its viewers; a viewer is in it from ``add`` to ``remove``. ``on_empty``
    is called when the last one has left. ``end_reason`` is that of viewers whose stream ends. A feed that ``is_over``
    gets nothing any more, also if the stream is published again. No method switches greenlets."""

    is_over = False

    def __init__(self, stream: Stream, on_empty: Callable[[Feed], None]) -> None:
        self.stream = stream
        self.viewers: set[LiveViewer] = set()
        self.end_reason = UNPUBLISHED
        self.group = Group(0, 0, EVERYTHING, stream.gop)
        self._on_empty = on_empty

    @abstractmethod
    def burst(self) -> tuple[list[Frame], bool]:
        """What a viewer that joins gets first, and whether it has to wait for a keyframe after that."""

    @abstractmethod
    def close(self) -> None:
        """The last viewer has left."""

    def add(self, viewer: LiveViewer) -> None:
        """Send to ``viewer`` from now on."""
        self.viewers.add(viewer)
        viewer.subscriber.join(self.group, *self.burst())

    def remove(self, viewer: LiveViewer) -> None:
        """Send no more to ``viewer``."""
        viewer.subscriber.leave()
        if viewer in self.viewers:
            self.viewers.discard(viewer)
            if not self.viewers:
                self._on_empty(self)
                self.close()

    def finish(self, reason: str = "") -> None:
        """End every viewer after what waits for it."""
        for viewer in tuple(self.viewers):
            viewer.finish(reason or self.end_reason)


class TapFeed(Feed):
    """A feed that hangs on the stream itself; ``convert`` makes of frames what viewers get."""

    def __init__(self, stream: Stream, on_empty: Callable[[Feed], None]) -> None:
        super().__init__(stream, on_empty)
        self._burst: tuple[list[Frame], bool] = ([], False)
        self._tap = Tap(self, self)
        stream.open_output(self._tap)

    @abstractmethod
    def convert(self, frames: list[Frame]) -> list[Frame]:
        """The frames as viewers get them."""

    def burst(self) -> tuple[list[Frame], bool]:
        """What the GOP cache holds. The tap leaves its group and enters it again, as there is no other way to the cache
        that misses and repeats nothing."""
        self.stream.pause(self._tap)
        self.stream.feed(self._tap)
        burst, self._burst = self._burst, ([], False)
        return burst

    def close(self) -> None:
        """Leave the stream."""
        self.stream.detach(self._tap)

    # --- called by the stream ---------------------------------------------------------------------

    def begin(self, burst: list[Frame], wait_for_keyframe: bool) -> None:
        """Keep the burst for the viewer that is being added; the others have had it."""
        self._burst = self.convert(burst), wait_for_keyframe

    def take(self, frames: list[Frame]) -> None:
        """Send the frames of one flush."""
        self.group.frames += self.convert(frames)
        self.group.flush()

    def published(self) -> None:
        """Another publisher goes on with the stream."""

    def unpublished(self) -> None:
        """The stream is over, and so is what its viewers get."""
        self.finish()


class LiveViewer:
    """A viewer on a connection of its own, which is sent a feed until the stream ends or it leaves. ``reason`` is why
    it ended, "" while it has not."""

    def __init__(self, transport: Transport, clock: Clock, settings: AppSettings) -> None:
        self.reason = ""
        self._transport = transport
        self._clock = clock
        self._send_timeout_s = settings.send_timeout_s
        self._finished_at: float | None = None
        self.writer = Writer(transport, clock, _SEND_LIMIT_BYTES, self._failed)
        self.subscriber = Subscriber(self.writer, self, 0, 0, settings.backlog_bytes, settings.backlog_ms)

    def watch_feed(self, feed: Feed, read: Callable[[bytes], Any]) -> None:
        """Be sent ``feed`` until the end; ``read`` is given what the client says meanwhile. The body of the
        connection's greenlet. May switch greenlets."""
        try:
            feed.add(self)
            self.writer.listen(self)
            while data := self._transport.recv():
                read(data)
        except ConnectionLost:
            pass  # viewers quit with bytes unread, which makes a reset of their close
        finally:
            self.reason = self.reason or CLIENT_CLOSED
            feed.remove(self)
            self.writer.close()

    # --- the end ----------------------------------------------------------------------------------

    def finish(self, reason: str) -> None:
        """End it after what waits for it."""
        if not self.reason:
            self.reason = reason
            self._finished_at = self._clock.monotonic()
            self.on_drained()

    def end(self, reason: str) -> None:
        """End it at once."""
        self.reason = self.reason or reason
        self._transport.shutdown()

    def on_busy(self) -> None:
        """The writer's listener: bytes wait."""

    def on_drained(self) -> None:
        """The writer's listener: nothing waits any more. At the end the client gets its end of file then."""
        if self._finished_at is not None and not self.writer.busy and not self.subscriber.backlog_frames:
            self.last_words()
            self._transport.shutdown_writing()

    def last_words(self) -> None:
        """What is sent before the end of the connection."""

    def watch(self, now: float) -> None:
        """End a viewer that takes nothing. Called about once a second."""
        if self._finished_at is not None:
            if now - self._finished_at > _LAST_BYTES_S:
                self._transport.shutdown()
        elif self._send_timeout_s and self.writer.busy and now - self.writer.stalled_since > self._send_timeout_s:
            self.end(SLOW_PLAYER)

    def _failed(self, code: str, message: str) -> None:
        """Sending has failed. Called by the writer."""
        if code not in _RESETS:
            _log.info("a viewer is given up", code=code, error=message)
        self.end(CLIENT_CLOSED if code in _RESETS else SLOW_PLAYER)

    def published(self) -> None:
        """Not called: the subscriber is of the feed, not of the stream."""

    def unpublished(self) -> None:
        """Not called, likewise."""

    # --- what was sent ----------------------------------------------------------------------------

    @property
    def bytes_sent(self) -> int:
        """Bytes of media sent, with their envelope."""
        return self.subscriber.bytes_sent

    @property
    def frames_dropped(self) -> int:
        """Frames that it was too slow for."""
        return self.subscriber.frames_dropped

    @property
    def queue_ms(self) -> int:
        """How long what waits for it plays."""
        return self.subscriber.queue_ms


@contextmanager
def session_of(ticket: Ticket, protocol: str, viewer: LiveViewer) -> Iterator[Session]:
    """The session of ``viewer``, which ends with the block."""
    session = ticket.begin(protocol, viewer)
    try:
        yield session
    finally:
        session.stop(viewer.reason or CLIENT_CLOSED)
