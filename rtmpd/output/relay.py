"""Sends a copy of one stream to another server, for as long as the stream lasts.

One greenlet dials, publishes, and reads what the server says; the media is sent from where the stream is flushed, as to
any player. A server that is slow loses whole GOP tails like a slow player, one that is gone is dialled again, and each
time it gets the stream from the last keyframe on. The publisher never waits.

The URL is a template, filled with the stream's names. Many services have the publisher's secret in it: in the query, or
as the stream's name. Any part that is not the name of the stream itself is never shown.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random
from typing import Any, Final

import gevent

from ..backoff import Backoff
from ..clock import Clock
from ..codec.classify import DATA
from ..codec.metadata import SET_DATA_FRAME, is_metadata
from ..errors import ConnectionLost, EndedByServer, PeerError, PeerTimeout, RefusedByServer
from ..event.event import Emit
from ..log import logger
from ..net.link import Link
from ..net.outgoing import Outgoing
from ..protocol.amf0 import encode
from ..protocol.destination import destination
from ..settings import AppSettings
from ..stream.fanout import Group
from ..stream.frame import Frame
from ..stream.stream import Stream
from ..stream.subscriber import EVERYTHING, Subscriber
from .output import Output, Owner

CHUNK_SIZE_BYTES: Final = 4096  # that of players by default, so that they share the bytes
CONNECTING: Final = "connecting"
CONNECTED: Final = "connected"
WAITING: Final = "waiting"

_SET_DATA_FRAME: Final = encode(SET_DATA_FRAME)
_REASONS: Final[tuple[tuple[type[PeerError], str], ...]] = (
    (RefusedByServer, "refused"),
    (EndedByServer, "ended_by_server"),
    (PeerTimeout, "timeout"),
    (ConnectionLost, "connection_lost"),
)
_OWN_REASONS: Final = frozenset({"send_timeout", "backlog_full"})

_log = logger("output")


class _Over(gevent.GreenletExit):
    """Raised in the greenlet when the relay is to end."""


class Relay(Output):
    """``state`` is one of the words above, ``errors`` counts failed connections. Raises UrlError if ``template``
    cannot be used."""

    def __init__(
        self,
        stream: Stream,
        template: str,
        settings: AppSettings,
        emit: Emit,
        clock: Clock,
        next_session_id: Callable[[], str],
        owner: Owner,
        way: Outgoing,
    ) -> None:
        self.template = template
        self.settings = settings
        self.state = CONNECTING
        self.errors = 0
        self._destination = destination(template, stream.app, stream.name)
        self._emit = emit
        self._clock = clock
        self._next_session_id = next_session_id
        self._way = way
        self._session_id = next_session_id()
        self._backoff = Backoff(initial_s=settings.push_retry_s, max_s=settings.push_retry_max_s, random=random)
        self._attempts = 0
        self._last_error = ""
        self._started_at = 0.0
        self._bytes_before = 0
        self._dropped_before = 0
        self._link: Link | None = None
        self._group: Group | None = None
        self._subscriber: Subscriber | None = None
        super().__init__(stream, owner, "relay")

    # --- called by the stream ---------------------------------------------------------------------

    def begin(self, burst: list[Frame], wait_for_keyframe: bool) -> None:
        """The destination gets what a player that joins gets."""
        assert self._subscriber is not None and self._group is not None
        self._subscriber.join(self._group, as_published(burst), wait_for_keyframe)

    def take(self, frames: list[Frame]) -> None:
        """Send ``frames`` to the destination, or queue them."""
        group = self._group
        if group is not None:
            group.frames += as_published(frames)
            group.flush()

    # --- from outside -----------------------------------------------------------------------------

    def _wind_up(self) -> None:
        """The destination gets what waits for it, for a moment, and a goodbye."""
        self._greenlet.kill(_Over, block=False)

    def abandon(self) -> None:
        """Wait no longer for the destination."""
        self.end("server_stop")
        self._greenlet.kill(block=False)

    def watch(self, now: float) -> None:
        """Called about once a second: a destination that takes nothing is given up."""
        link = self._link
        if link is not None and self.state == CONNECTED and not self.reason:
            writer = link.peer.writer
            limit_s = self.settings.send_timeout_s
            if writer.busy and now - writer.stalled_since > limit_s:
                writer.fail("send_timeout", f"the destination took nothing for {limit_s:g} s")

    @property
    def bytes_sent(self) -> int:
        """Bytes of media sent, over all connections."""
        return self._bytes_before + (self._subscriber.bytes_sent if self._subscriber is not None else 0)

    @property
    def frames_dropped(self) -> int:
        """Frames that the destination was too slow for, over all connections."""
        return self._dropped_before + (self._subscriber.frames_dropped if self._subscriber is not None else 0)

    def facts(self, now: float) -> dict[str, object]:
        """What this relay is at the monotonic time ``now``, for status pages."""
        return {
            "session_id": self._session_id,
            "destination": self._destination.shown,
            "state": self.state,
            "age_s": round(now - self._started_at, 3) if self.state == CONNECTED else 0.0,
            "bytes_sent": self.bytes_sent,
            "frames_dropped": self.frames_dropped,
            "attempts": self._attempts,
            "last_error": self._last_error,
        }

    # --- the greenlet -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self.reason:
                self.state = CONNECTING
                error = self._connection()
                if error is not None:
                    self.state = WAITING
                    gevent.sleep(self._report_error(error))
        except _Over:
            pass  # while it waited
        except Exception:  # noqa: BLE001  the stream and the other destinations go on
            _log.exception("relay failed", **self._whereabouts())
            self.end("error")

    def _connection(self) -> PeerError | None:
        """One connection from the first to the last byte; what went wrong, None at the end of the relay."""
        error: PeerError | None = None
        try:
            self._link = Link(self._destination.url, self._way, self._clock, self.settings.push_verify)
            self._link.publish(CHUNK_SIZE_BYTES)
            self._start(self._link)
            while True:
                self._link.read()
        except PeerError as failed:
            error = failed
        except _Over:
            self._finish()
        finally:
            self._stop(error)
        return error

    def _start(self, link: Link) -> None:
        settings = self.settings
        self.state = CONNECTED
        self._started_at = self._clock.monotonic()
        chunk_size, msid = link.peer.out_chunk_size, link.session.msid
        self._group = Group(chunk_size, msid, EVERYTHING, self.stream.gop)
        self._subscriber = Subscriber(
            link.peer.writer, self, chunk_size, msid, settings.backlog_bytes, settings.backlog_ms
        )
        self._emit(
            "relay_start", stream_key=self.stream.key, destination=self._destination.shown, session_id=self._session_id
        )
        _log.info("relay started", **self._whereabouts())
        self.stream.feed(self._tap)

    def _finish(self) -> None:
        """Say goodbye to a destination that gets the stream; others are left without a word."""
        if self._link is not None and self.state == CONNECTED:
            try:
                self._link.finish()
            except PeerError as error:
                _log.info("relay cut short", **self._whereabouts(), error=self._destination.clean(str(error)))

    def _stop(self, error: PeerError | None) -> None:
        link, self._link = self._link, None
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            self.stream.pause(self._tap)
            subscriber.leave()
            self._bytes_before += subscriber.bytes_sent
            self._dropped_before += subscriber.frames_dropped
            self._group = None
        if link is not None:
            link.close()
        if self.state == CONNECTED:
            self._report_stop(self.reason if error is None else _reason_of(error))

    # --- events and log ---------------------------------------------------------------------------

    def _whereabouts(self) -> dict[str, Any]:
        return {"stream_key": self.stream.key, "session_id": self._session_id, "destination": self._destination.shown}

    def _report_stop(self, reason: str) -> None:
        lasted_s = self._clock.monotonic() - self._started_at
        self._emit(
            "relay_stop",
            stream_key=self.stream.key,
            destination=self._destination.shown,
            session_id=self._session_id,
            duration_sec=round(lasted_s, 3),
            reason=reason,
        )
        _log.info("relay stopped", **self._whereabouts(), reason=reason)
        if lasted_s > self.settings.push_retry_max_s:
            self._attempts = 0  # it worked; what comes now is another trouble

    def _report_error(self, error: PeerError) -> float:
        """Seconds until the next attempt."""
        was_connected = self._started_at > 0
        self._attempts += 1
        self.errors += 1
        pause_s = self._backoff.pause_s(self._attempts)
        self._last_error = self._destination.clean(str(error))
        self._emit(
            "relay_error",
            stream_key=self.stream.key,
            destination=self._destination.shown,
            session_id=self._session_id,
            error_message=self._last_error,
            attempt=self._attempts,
            retry_in_ms=round(pause_s * 1000),
        )
        _log.warning(
            "relay failed",
            **self._whereabouts(),
            error=self._last_error,
            attempt=self._attempts,
            retry_in_s=round(pause_s, 3),
        )
        if was_connected:
            self._session_id = self._next_session_id()
            self._started_at = 0.0
        return pause_s


def _reason_of(error: PeerError) -> str:
    """Why a connection ended, in a word."""
    if error.code in _OWN_REASONS:
        return error.code
    return next((word for kind, word in _REASONS if isinstance(error, kind)), "protocol_error")


def as_published(frames: list[Frame]) -> list[Frame]:
    """The frames as a server wants them: it keeps onMetaData for late joiners only after ``@setDataFrame``."""
    return [_kept(frame) if frame.flags & DATA and is_metadata(frame.payload) else frame for frame in frames]


def _kept(frame: Frame) -> Frame:
    return Frame(frame.type_id, _SET_DATA_FRAME + frame.payload, frame.timestamp, frame.flags)
