"""Somebody who watches over HTTP: a session like that of an RTMP player, by the same rules.

The door admits a viewer by the access rules, quotas and limits of ``play``. Its session has a ``play_start`` and
exactly one ``play_stop``, counts for the limits of players, is looked at by the watch and can be kicked. What is sent,
and over which connections, is the playback's matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import gevent

from ..errors import AccessDenied, InvalidStreamKey, LimitReached, Rejected, StreamNotFound
from ..identity import StreamId, segments
from ..protocol.notice import PlayAsked
from ..settings import PLAY
from .access.lease import Lease, lease_of
from .access.question import ADMITTED, Question, Verdict, token_of
from .context import Context
from .gate import DENIED
from .periodic import Counts, PlayerCheck
from .player import report_play_start, report_play_stop
from .report import report_refusal
from .requests import granted

_DENIED: Final = DENIED[PlayAsked]
_FAILED: Final = "NetStream.Play.Failed"
_FETCH_WAIT_S: Final = 10.0
_STEP_S: Final = 0.05
_NO_STREAM: Final = StreamId("", "")


class Viewer(Counts, Protocol):
    """The side of a viewer that sends (``playback``)."""

    def end(self, reason: str) -> None:
        """Send no more; the session is stopped with ``reason``. Must not switch greenlets."""

    def watch(self, now: float) -> None:
        """Called about once a second with the monotonic time."""


@dataclass(slots=True)
class Ticket:
    """A viewer that was admitted, or is about to be. ``stream`` is the one it is admitted to."""

    context: Context
    conn_id: str
    address: str
    port: int
    stream: StreamId = _NO_STREAM
    verdict: Verdict = ADMITTED
    lease: Lease | None = None
    has_begun: bool = False

    def leased(self, now: float) -> Lease | None:
        """The lease of the admission: a viewer that comes back after a silence gets no new one."""
        if not self.has_begun:
            self.has_begun = True
            self.lease = lease_of(self.verdict, now)
        elif self.lease is not None:
            self.lease.begin_again(now)
        return self.lease

    def begin(self, protocol: str, viewer: Viewer) -> Viewing:
        """Begin the session of an admitted client. Raises StreamNotFound if the stream has ended meanwhile,
        LimitReached if others were faster."""
        try:
            return Viewing(self.context, self, protocol, viewer)
        except Rejected as error:
            report_refusal(self.context, self, PLAY, self.stream, error)
            raise


class Door:
    """Admits viewers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def admit(self, path: str, query: str, address: str, port: int) -> Ticket:
        """Admit a client to the stream that ``path`` names; ``query`` may hold its token. A refusal is reported.

        Raises Rejected: AccessDenied after the delay for those that are refused over and over, StreamNotFound,
        LimitReached, InvalidStreamKey. May switch greenlets.
        """
        ticket = Ticket(self._context, self._context.next_conn_id(), address, port)
        try:
            self._judge(ticket, path, query)
        except Rejected as error:
            report_refusal(self._context, ticket, PLAY, ticket.stream, error)
            if isinstance(error, AccessDenied):
                gevent.sleep(self._context.access.tarpit.refused(address))
            raise
        return ticket

    def _judge(self, ticket: Ticket, path: str, query: str) -> None:
        context = self._context
        applications = context.applications
        parts = segments(path)
        ticket.stream = StreamId(applications.app_of(parts), "")
        try:
            stream = ticket.stream = applications.identify(parts, query)
        except InvalidStreamKey as error:
            error.status = _FAILED
            raise
        if not applications.serves(stream.app):
            raise InvalidStreamKey(f"the application {stream.app} is not served here", _FAILED)
        if context.draining:
            raise LimitReached("the server is stopping", _FAILED)
        limit = context.limits.connections_per_app
        if limit and context.connections_of(stream.app) >= limit:
            raise LimitReached(f"{stream.app} has its {limit} connections", _FAILED)
        rule = context.access.rule(stream.app, PLAY)
        most = context.apps.of(stream.app).max_players_per_address
        with context.quota.held(PLAY, stream.app, ticket.address, most):
            if not rule.is_open:
                question = Question(PLAY, stream, token_of(query), ticket.address, ticket.port)
                ticket.verdict = rule.judge(question)
                if not ticket.verdict.allowed:
                    raise AccessDenied(ticket.verdict.reason, _DENIED)
        ticket.stream = granted(context, stream, ticket.verdict, applications, _DENIED)
        if not context.registry.admit_player(*ticket.stream) and not self._is_fetched(ticket.stream):
            raise StreamNotFound(f"{ticket.stream.key} is not published")

    def _is_fetched(self, stream: StreamId) -> bool:
        """Whether a stream that nobody publishes comes from another server in time. May switch greenlets."""
        registry, clock = self._context.registry, self._context.clock
        deadline = clock.monotonic() + _FETCH_WAIT_S
        while registry.fetches(*stream) and clock.monotonic() < deadline:
            gevent.sleep(_STEP_S)
            found = registry.find(stream.key)
            if found is not None and found.live:
                return True
        return False


class Viewing:
    """The session of a viewer, from ``play_start`` to ``stop``. ``app`` and ``counted_for`` are as for
    ``publisher.Publishing``."""

    __slots__ = (
        "_check",
        "_context",
        "_is_over",
        "_lease",
        "_noted",
        "_started_at",
        "_viewer",
        "address",
        "app",
        "conn_id",
        "counted_for",
        "port",
        "protocol",
        "session_id",
        "stream",
    )

    def __init__(self, context: Context, ticket: Ticket, protocol: str, viewer: Viewer) -> None:
        found = context.registry.find(ticket.stream.key)
        if found is None or not context.registry.admit_player(*ticket.stream):
            raise StreamNotFound(f"{ticket.stream.key} is not published")
        settings = context.apps.of(ticket.stream.app)
        context.quota.check(PLAY, ticket.stream.app, ticket.address, settings.max_players_per_address)
        self._context = context
        self._viewer = viewer
        self._noted = 0, 0
        self._is_over = False
        self._started_at = context.clock.monotonic()
        self._lease = ticket.leased(self._started_at)
        self.conn_id, self.address, self.port = ticket.conn_id, ticket.address, ticket.port
        self.session_id = context.next_session_id()
        self.protocol = protocol
        self.app = self.counted_for = ticket.stream.app
        self.stream = found
        self._check = PlayerCheck(context, self.conn_id, self.session_id, found, self._started_at)
        context.quota.take(PLAY, self.app, self.address)
        context.viewers[self.conn_id] = self
        found.viewers.add(self)
        report_play_start(context, self)

    def reconfigure(self) -> None:
        """Count for the application that the stream belongs to by the settings of now."""
        if self.counted_for != self.stream.app:
            self._context.quota.give(PLAY, self.counted_for, self.address)
            self.counted_for = self.stream.app
            self._context.quota.take(PLAY, self.counted_for, self.address)

    def end(self, reason: str) -> None:
        """Have the viewer end, with ``reason``."""
        self._viewer.end(reason)

    def watch(self, now: float) -> None:
        """End the viewer if its time is over, and emit the periodic report. Called about once a second."""
        if self._lease is not None and (reason := self._lease.overdue(now, 0)):
            self.end(reason)
            return
        self._check.check(now, self._viewer)
        self._viewer.watch(now)

    def moved(self) -> tuple[int, int]:
        """Return the bytes sent and the frames dropped since the last call."""
        sent, dropped = self._noted
        self._noted = now = self._viewer.bytes_sent, self._viewer.frames_dropped
        return now[0] - sent, now[1] - dropped

    def facts(self, now: float) -> dict[str, object]:
        """Return the state of this play at the monotonic time ``now``, for status pages."""
        return {
            "conn_id": self.conn_id,
            "session_id": self.session_id,
            "address": self.address,
            "protocol": self.protocol,
            "age_s": round(now - self._started_at, 3),
            "bytes_sent": self._viewer.bytes_sent,
            "frames_dropped": self._viewer.frames_dropped,
            "backlog_frames": 0,
            "paused": False,
        }

    def stop(self, reason: str) -> None:
        """Emit the end of the play with ``reason``, and leave the stream; only the first call counts."""
        if self._is_over:
            return
        self._is_over = True
        context = self._context
        del context.viewers[self.conn_id]
        context.traffic.note_viewer(self)
        duration_s = context.clock.monotonic() - self._started_at
        report_play_stop(context, self, self._viewer, duration_s, reason)
        context.quota.give(PLAY, self.counted_for, self.address)
        # last, as it may be the end of the stream, which is reported after the end of the play
        self.stream.dismiss(self)
