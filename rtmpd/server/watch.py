"""Deadlines: one greenlet looks at every connection once a second.

No read on the hot path sets a timer. A second's resolution is enough for what is watched here:
steps that are overdue, publishers that have gone silent, players that take nothing, and peers that
may be gone without a word (those are asked by a ping).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent

from ..errors import PHASE_HANDSHAKE, PeerTimeout
from ..log import logger
from .context import Context

if TYPE_CHECKING:
    from .connection import Connection

_log = logger("server")
_CONNECTIONS_PER_TURN = 500
_MOMENT_S = 1e-6


class Watch:
    """Ends connections that are overdue. ``start`` and ``stop`` once each."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Start the greenlet that looks every ``watch_period_s``."""
        self._greenlet = gevent.Greenlet(self._run)
        self._greenlet.name = "watch"
        self._greenlet.start()

    def stop(self) -> None:
        """End the greenlet. May switch greenlets."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def _run(self) -> None:
        while True:
            gevent.sleep(self._context.watch_period_s)
            now = self._context.clock.monotonic()
            for count, connection in enumerate(tuple(self._context.connections.values())):
                if count % _CONNECTIONS_PER_TURN == _CONNECTIONS_PER_TURN - 1:
                    gevent.sleep(_MOMENT_S)
                try:
                    self._context.traffic.look_at(connection)
                    self._look_at(connection, now)
                except Exception:  # noqa: BLE001  one connection's trouble must not blind the watch
                    _log.exception("watching a connection failed", conn_id=connection.conn_id)
            for viewer in tuple(self._context.viewers.values()):
                try:
                    self._context.traffic.look_at_viewer(viewer)
                    viewer.watch(now)
                except Exception:  # noqa: BLE001  as above
                    _log.exception("watching a viewer failed", conn_id=viewer.conn_id)
            self._context.traffic.turn(now)

    def _look_at(self, connection: Connection, now: float) -> None:
        if connection.waits:
            self._watch_waiting(connection, now)
            return
        self._watch_step(connection, now)
        self._watch_publishers(connection, now)
        for playing in connection.activity.players.values():
            playing.watch(now)
        self._watch_sending(connection, now)
        self._watch_leases(connection, now)
        self._watch_life(connection, now)

    def _watch_step(self, connection: Connection, now: float) -> None:
        """End a connection whose handshake, connect, first media or leaving is overdue."""
        if not connection.deadline or now < connection.deadline:
            return
        step = connection.deadline_code
        publishers = connection.activity.publishers.values()
        connection.deadline = 0.0
        if step == "leave":
            connection.end("rejected")
        elif step != "first_media" or any(not publishing.has_media for publishing in publishers):
            connection.end("timeout", PeerTimeout(f"no {step.replace('_', ' ')} in time", f"{step}_timeout"))

    def _watch_waiting(self, connection: Connection, now: float) -> None:
        """End a waiting connection whose client has left. Nothing is read during the wait, so only this notices."""
        connection.watched_at = now
        if connection.peer.transport.has_left():
            connection.end("client_closed")

    def _watch_leases(self, connection: Connection, now: float) -> None:
        if reason := connection.activity.overdue(now):
            connection.end(reason)

    def _watch_publishers(self, connection: Connection, now: float) -> None:
        timeout_s = self._context.limits.publisher_timeout_s
        for publishing in connection.activity.publishers.values():
            publishing.watch(now)
            if timeout_s and publishing.has_media and publishing.stalled_s() > timeout_s:
                connection.end("timeout", PeerTimeout(f"no media for {timeout_s:g} s", "publisher_timeout"))

    def _watch_sending(self, connection: Connection, now: float) -> None:
        writer = connection.peer.writer
        timeout_s = self._context.apps.of(connection.app).send_timeout_s
        if writer.busy and timeout_s and now - writer.stalled_since > timeout_s:
            text = f"it has taken no bytes for {timeout_s:g} s"
            reason = "slow_player" if not connection.activity.publishers else "timeout"
            connection.end(reason, PeerTimeout(text, "send_timeout"))

    def _watch_life(self, connection: Connection, now: float) -> None:
        """Ping a peer that has been silent, and give up on one that stays so."""
        limits = self._context.limits
        if connection.peer.bytes_received != connection.watched_bytes:
            connection.watched_bytes = connection.peer.bytes_received
            connection.watched_at = now
            connection.pinged = False
            return
        silent_s = now - connection.watched_at
        if not limits.ping_interval_s or connection.phase == PHASE_HANDSHAKE or silent_s < limits.ping_interval_s:
            return
        if silent_s > limits.ping_interval_s + limits.ping_timeout_s:
            connection.end("timeout", PeerTimeout(f"no sign of life for {silent_s:.0f} s", "ping_timeout"))
        elif not connection.pinged:
            connection.pinged = True
            if not connection.peer.writer.busy:
                connection.peer.ping(self._context.uptime_ms())
