"""Streams that are fetched from another server, while somebody watches them here.

A play of a stream that nobody publishes begins a pull, if the application has ``pull``: one greenlet dials, plays
there, and publishes here what comes, by the rules of any publisher. A list of sources is tried in order, again and
again, with a growing pause after each round; players stay attached meanwhile. The pull ends when nobody has watched for
``pull_idle``, or when a client publishes the key itself.

A source that leads to this very server would wait for itself, so the two ends of each new connection are looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from random import random
from socket import socket as stdlib_socket
from typing import Final

import gevent

from ..backoff import Backoff
from ..errors import ConnectionLost, EndedByServer, PeerError, Rejected, UrlError
from ..identity import StreamId
from ..log import logger
from ..net.link import Link
from ..net.outgoing import Outgoing
from ..protocol.destination import Destination, destination
from ..protocol.notice import PublishAsked
from .context import Context
from .publisher import Publishing

ENCODER: Final = "rtmpd pull"
KICKED: Final = "kicked"
IDLE: Final = "idle"
ENDED: Final = "ended_by_source"
LOST: Final = "connection_lost"
SERVER_STOP: Final = "server_stop"

_FIRST_MEDIA_S: Final = 10.0
_MAX_LOOKUPS: Final = 32
_LOOK_S: Final = 1.0
_LIVE: Final = "live"

_log = logger("server")


class Pull:
    """One stream, from the first play that wants it to the end. It stands where a publisher has its connection."""

    flash_ver = ENCODER
    address = ""
    protocol = "pull"

    def __init__(self, context: Context, stream: StreamId, way: Outgoing, own_ports: Callable[[], set[int]]) -> None:
        self.stream = stream
        self.conn_id = context.next_conn_id()
        self.reason = ""
        self._context = context
        self._way = way
        self._own_ports = own_ports
        self._settings = context.apps.of(stream.app)
        self._backoff = Backoff(
            initial_s=self._settings.push_retry_s, max_s=self._settings.push_retry_max_s, random=random
        )
        self._attempts = 0
        self._failures = 0  # in a row
        self._link: Link | None = None
        self._publishing: Publishing | None = None
        self._wanted_at = context.clock.monotonic()
        self._heard_at = self._wanted_at
        self._seen_bytes = 0
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = f"pull {self.conn_id}"

    def end(self, reason: str) -> None:
        """End it; called from anywhere, also by the registry for a publisher that is replaced."""
        self.reason = self.reason or reason
        self._greenlet.kill(block=False)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left."""
        return self._greenlet.dead

    def join(self, timeout_s: float) -> None:
        """Wait for its end. May switch greenlets."""
        self._greenlet.join(timeout_s)

    def look(self, now: float) -> None:
        """End it if nobody watches any more, and a connection that brings nothing. Called about once a second."""
        stream = self._context.registry.find(self.stream.key)
        if stream is not None and stream.players:
            self._wanted_at = now
        elif now - self._wanted_at >= self._settings.pull_idle_s:
            self.end(IDLE)
            return
        publishing = self._publishing
        if publishing is not None:
            publishing.watch(now)
            moved = publishing.total_bytes - self._seen_bytes
            if moved:
                self._seen_bytes, self._heard_at = publishing.total_bytes, now
                self._context.traffic.note_pull(self.stream.app, moved)
        limit_s = self._context.limits.publisher_timeout_s if publishing is not None else _FIRST_MEDIA_S
        if self._link is not None and now - self._heard_at > limit_s:
            self._link.peer.transport.shutdown()

    # --- the greenlet -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            for target in self._targets():
                try:
                    self._fetch(target)
                except PeerError as error:
                    self._report_error(target, error)
                except Rejected as error:
                    _log.info("pull gives way", stream_key=self.stream.key, error=error)
                    self.reason = self.reason or "refused"
                    return
        except gevent.GreenletExit:
            pass  # ``end`` has said why
        except Exception:  # noqa: BLE001  players and the other streams go on
            _log.exception("pull failed", stream_key=self.stream.key)

    def _targets(self) -> Iterator[Destination]:
        """The sources in turn, with a pause after each round of failures. May switch greenlets."""
        while True:
            for template in self._settings.pull:
                try:
                    yield destination(template, *self.stream)
                except UrlError as error:
                    _log.error("a source of a pull cannot be used", stream_key=self.stream.key, error=error)
            if self._failures:
                gevent.sleep(self._backoff.pause_s(self._failures))

    def _fetch(self, target: Destination) -> None:
        """Play one source until it ends. Raises PeerError, Rejected."""
        self._attempts += 1
        self._heard_at = self._context.clock.monotonic()
        started_at = 0.0
        reason = LOST
        try:
            self._link = Link(target.url, self._way, self._context.clock, self._settings.push_verify)
            self._check_loop(self._link)
            self._link.play()
            self._heard_at = self._context.clock.monotonic()
            while True:
                for message in self._link.read():
                    if self._publishing is None:
                        self._publish()
                        started_at = self._context.clock.monotonic()
                        self._report_start(target)
                    self._publishing.media(message)  # type: ignore[union-attr]
                if self._publishing is not None:
                    self._publishing.stream.idle()
        except EndedByServer:
            reason = ENDED
            raise
        finally:
            link, self._link = self._link, None
            publishing, self._publishing = self._publishing, None
            if link is not None:
                link.close()
            if publishing is not None:
                reason = self.reason or reason
                self._report_stop(target, publishing, self._context.clock.monotonic() - started_at, reason)
                publishing.stop(reason, clean=bool(self.reason) and not publishing.stream.players)
            self._seen_bytes = 0

    def _publish(self) -> None:
        """Take the key, as a publisher does. Raises StreamBusy, LimitReached."""
        publishing = Publishing(self, self._context, self.stream, "")
        self._publishing = publishing
        self._failures = 0
        publishing.started(PublishAsked(0, 0, self.stream.name, "", _LIVE))

    def _check_loop(self, link: Link) -> None:
        """Raise ConnectionLost for a connection to ourselves."""
        with closing(stdlib_socket(fileno=os.dup(link.peer.transport.fileno()))) as sock:
            here, there = sock.getsockname()[:2], sock.getpeername()[:2]
        if here[0] == there[0] and there[1] in self._own_ports():
            raise ConnectionLost("the source is this very server", "pull_of_itself")

    # --- events -----------------------------------------------------------------------------------

    def _report_start(self, target: Destination) -> None:
        assert self._publishing is not None
        session_id = self._publishing.session_id
        self._emit("pull_start", source=target.shown, session_id=session_id)
        _log.info("pull started", stream_key=self.stream.key, source=target.shown)

    def _report_stop(self, target: Destination, publishing: Publishing, lasted_s: float, reason: str) -> None:
        self._emit(
            "pull_stop",
            source=target.shown,
            session_id=publishing.session_id,
            duration_sec=round(lasted_s, 3),
            reason=reason,
        )
        _log.info("pull stopped", stream_key=self.stream.key, source=target.shown, reason=reason)

    def _report_error(self, target: Destination, error: PeerError) -> None:
        self._failures += 1
        text = target.clean(str(error))
        is_last = target.shown == destination(self._settings.pull[-1], *self.stream).shown
        pause_s = self._backoff.pause_s(self._failures) if is_last else 0.0
        self._emit(
            "pull_error",
            source=target.shown,
            error_message=text,
            attempt=self._attempts,
            retry_in_ms=round(pause_s * 1000),
        )
        _log.warning("pull failed", stream_key=self.stream.key, source=target.shown, error=text, attempt=self._attempts)

    def _emit(self, type: str, **data: object) -> None:
        self._context.emit(type, conn_id=self.conn_id, stream_key=self.stream.key, **data)


class Pulls:
    """The pulls there are, by stream key. ``start`` and ``stop`` once each."""

    def __init__(self, context: Context, own_ports: Callable[[], set[int]]) -> None:
        self._context = context
        self._own_ports = own_ports
        self._way = Outgoing(context.clock, _MAX_LOOKUPS)
        self._pulls: dict[str, Pull] = {}
        self._looking: gevent.Greenlet[[], None] | None = None
        context.registry.on_wanted = self.wanted

    def wanted(self, app: str, name: str) -> bool:
        """Somebody plays a stream that nobody publishes; whether it is fetched, so that the player may wait."""
        key = f"{app}/{name}"
        pull = self._pulls.get(key)
        if pull is not None and not pull.is_over:
            return not pull.reason or pull.reason == IDLE
        if not self._context.apps.of(app).pull or self._context.draining:
            return False
        if pull is not None:
            self._context.pulls.pop(pull.conn_id, None)
        pull = self._pulls[key] = Pull(self._context, StreamId(app, name), self._way, self._own_ports)
        self._context.pulls[pull.conn_id] = pull
        return True

    def start(self) -> None:
        """Look after the pulls from now on."""
        self._looking = gevent.spawn(self._look)
        self._looking.name = "pulls"

    def stop(self) -> None:
        """End them all. May switch greenlets."""
        pulls = list(self._pulls.values())
        for pull in pulls:
            pull.end(SERVER_STOP)
        for pull in pulls:
            pull.join(1.0)
        if self._looking is not None:
            self._looking.kill()

    def _look(self) -> None:
        while True:
            gevent.sleep(self._context.watch_period_s)
            now = self._context.clock.monotonic()
            for key, pull in list(self._pulls.items()):
                if pull.is_over:
                    del self._pulls[key], self._context.pulls[pull.conn_id]
                    self._again(key)
                elif not self._context.apps.of(pull.stream.app).pull:
                    pull.end("config")
                else:
                    pull.look(now)

    def _again(self, key: str) -> None:
        """Players that are here still, or came while the last pull ended, get another one."""
        stream = self._context.registry.find(key)
        if stream is not None and stream.players and stream.publisher is None:
            self.wanted(stream.app, stream.name)
