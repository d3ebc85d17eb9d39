"""One client, from TCP accept to close: a dialogue in straight lines.

The greenlet that runs a connection reads messages and acts on what the session says they mean.
Nothing else ends a connection: ``end`` only shuts the socket, so that the reader wakes up, and the
one ``finally`` of ``run`` reports the end and frees everything.

A player that only listens is parked: its greenlet goes, and the next bytes bring another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..errors import (
    PHASE_CHUNKING,
    PHASE_COMMAND,
    PHASE_HANDSHAKE,
    PHASE_MEDIA,
    ConnectionLost,
    LimitReached,
    PeerError,
)
from ..log import logger
from ..net.peer import Peer
from ..net.tls import TlsTransport
from ..net.transport import Transport
from ..protocol.aggregate import split
from ..protocol.constants import AGGREGATE, AUDIO, VIDEO
from ..protocol.message import Message
from ..protocol.notice import (
    ConnectAsked,
    MediaArrived,
    Notice,
    PauseAsked,
    PlayAsked,
    PlayEnded,
    PublishAsked,
    PublishEnded,
    ReceiveAsked,
    Reply,
    Violation,
)
from ..protocol.session import ServerSession
from .activity import Activity
from .context import Context
from .report import Reporter
from .requests import Requests

_log = logger("server")

_LINGER_S: Final = 2.0
_MESSAGES_PER_LOOK: Final = 128  # one read can hold tens of thousands of tiny messages
_RESETS: Final = frozenset(("ECONNRESET", "EPIPE"))
#: Ends that no side has asked for. A publisher that ends so may come back, so its players are kept for a while.
_CUT_OFF: Final = frozenset(("network_error", "timeout", "protocol_error", "slow_player", "internal_error"))
_ASKED: Final = (ConnectAsked, PublishAsked, PlayAsked)
_NOT_READING: Final = frozenset(("backlog_full", "send_queue_full"))


class Connection:
    """``address`` and ``port`` are the client's. ``deadline`` is the monotonic time by which the
    next step must be done (0: none), ``deadline_code`` what to say if it is not."""

    __slots__ = (
        "_context",
        "_end_error",
        "_end_reason",
        "_leaving",
        "_requests",
        "_send_error",
        "accepted_at",
        "activity",
        "address",
        "app",
        "conn_id",
        "deadline",
        "deadline_code",
        "flash_ver",
        "peer",
        "pinged",
        "port",
        "report",
        "session",
        "watched_at",
        "watched_bytes",
    )

    def __init__(
        self, context: Context, transport: Transport, client: tuple[str, int], server: tuple[str, int]
    ) -> None:
        limits = context.limits
        self._context = context
        self.conn_id = context.next_conn_id()
        self.address, self.port = client
        self.accepted_at = context.clock.monotonic()
        self.peer = Peer(transport, context.clock, context.chunk_limits, self._sending_failed)
        self.session = ServerSession(context.amf_limits, limits.message_streams)
        self.report = Reporter(self, context, server)
        self.peer.on_violation = self._tolerate
        self.app = ""
        self.flash_ver = ""
        self.activity = Activity(self, context)
        self._requests = Requests(self, context, self.activity, self.report)
        self.deadline = self.accepted_at + limits.handshake_timeout_s
        self.deadline_code = "handshake"
        self.watched_at = self.accepted_at
        self.watched_bytes = 0
        self.pinged = False
        self._leaving = False
        self._end_reason = ""
        self._end_error: PeerError | None = None
        self._send_error: PeerError | None = None

    @property
    def protocol(self) -> str:
        """Nothing: a client publishes what it is asked for (``publisher.Source``)."""
        return ""

    # --- the greenlet ---------------------------------------------------------------------------

    def run(self) -> None:
        """Serve the client until it leaves. The body of the connection's greenlet."""
        self._guarded(self._begin)

    def _resume(self) -> None:
        self._guarded(lambda: self._serve(has_read=False))

    def _guarded(self, body: Callable[[], bool]) -> None:
        parked = False
        try:
            parked = body()
        except PeerError as error:
            self._failed(error)
        except LimitReached as error:
            self._end_reason = "refused"
            self.report.over_limit(error)
        except Exception:  # noqa: BLE001  a bug of ours ends this connection, not the server
            _log.exception("connection ended by an error of ours", conn_id=self.conn_id)
            self._end_reason = self._end_reason or "internal_error"
        finally:
            if not parked:
                self._close()

    def _begin(self) -> bool:
        transport = self.peer.transport
        transport.set_nodelay()
        self._context.admit(self)
        if isinstance(transport, TlsTransport):
            self.deadline = self.accepted_at + self._context.limits.tls_handshake_timeout_s
            self.deadline_code = "tls_handshake"
            transport.handshake()
            self.expect("handshake", self._context.limits.handshake_timeout_s)
        result = self.peer.accept_handshake(self._context.uptime_ms())
        self.expect("connect", self._context.limits.connect_timeout_s)
        self.report.accepted(result.scheme)
        return self._serve(has_read=True)

    def _serve(self, has_read: bool) -> bool:
        """Read and act until the end of the stream; true if the connection was parked instead.

        Without ``has_read`` data has arrived that is still to be read, so the connection cannot be parked yet.
        """
        read = self.peer.reader.read_message
        control = self.peer.control
        sinks = self.activity.sinks
        players = self.activity.players
        count = 0
        while True:
            if players and not sinks and has_read and self._may_park():
                self._park()
                return True
            message = read()
            has_read = True
            count += 1
            if not count % _MESSAGES_PER_LOOK:
                self.peer.give_way()
            type_id = message.type_id
            if type_id < AUDIO:
                if control(message):
                    continue
            elif type_id <= VIDEO and (sink := sinks.get(message.msid)) is not None:
                sink(message)
                continue
            if not self._leaving:
                self._receive(message)

    def _may_park(self) -> bool:
        return self._context.server.park_idle_players and not self._leaving and self.peer.idle

    def _park(self) -> None:
        """End this greenlet; the next bytes, or the end, start another."""
        self.peer.flush()
        self.peer.buffer.forget()
        self.peer.transport.when_readable(self._unpark)

    def _unpark(self) -> None:
        self._context.pool.start(self.conn_id, self._resume)

    def _receive(self, message: Message) -> None:
        if message.type_id == AGGREGATE:
            for part in split(message):
                self._receive(part)
            return
        replies: list[Reply] = []
        for notice in self.session.receive(message):
            if isinstance(notice, Reply):
                replies.append(notice)
                continue
            if replies:
                self.peer.send_all(replies)
                replies = []
            if isinstance(notice, MediaArrived):
                self.activity.take(notice.message, message.msid)
            else:
                self._act(notice)
        if replies:
            self.peer.send_all(replies)

    def _act(self, notice: Notice) -> None:
        if isinstance(notice, _ASKED):
            self._requests.answer(notice)
        elif isinstance(notice, PublishEnded):
            self.activity.stop_publishing(notice.msid, "unpublished", clean=True)
        elif isinstance(notice, PlayEnded):
            self.activity.stop_playing(notice.msid, "stopped")
        elif isinstance(notice, PauseAsked):
            self.activity.players[notice.msid].pause(notice.paused)
        elif isinstance(notice, ReceiveAsked):
            self.activity.players[notice.msid].receive(notice.kind, notice.wanted)
        elif isinstance(notice, Violation):
            self.report.tolerated(notice)

    def _tolerate(self, code: str, detail: str) -> None:
        self.report.tolerated(Violation(code, detail, PHASE_CHUNKING))

    # --- time and ends --------------------------------------------------------------------------

    def expect(self, step: str, seconds: float) -> None:
        """The next step must be done within ``seconds`` (0: whenever)."""
        self.deadline_code = step
        self.deadline = self._context.clock.monotonic() + seconds if seconds else 0.0

    @property
    def bytes_sent(self) -> int:
        """Everything that was sent on this connection."""
        sent = self.peer.writer.bytes_sent
        return sent + self.activity.uncounted_bytes if self.activity.players else sent

    @property
    def waits(self) -> bool:
        """Whether it waits for a verdict, and so does not read."""
        return self._requests.gate.waits

    @property
    def phase(self) -> str:
        """The phase of its life that errors report."""
        if not self.report.is_accepted:
            return PHASE_HANDSHAKE
        return PHASE_MEDIA if self.activity.stream_key else PHASE_COMMAND

    def end(self, reason: str, error: PeerError | None = None) -> None:
        """End the connection; may be called from anywhere."""
        if not self._end_reason:
            self._end_reason = reason
            self._end_error = error
        self._requests.gate.cut()
        self.peer.transport.shutdown()

    def leave(self, reason: str) -> None:
        """End the connection once what was sent last has arrived, or after ``_LINGER_S``: close our direction and wait
        for the client to close the other. What it still says is read and not acted on."""
        self._leaving = True
        self._end_reason = self._end_reason or reason
        self.expect("leave", _LINGER_S)
        self.peer.flush()
        if self.peer.writer.busy:
            self.peer.writer.listen(self)
        else:
            self.peer.transport.shutdown_writing()

    def on_busy(self) -> None:
        """The writer's listener while the connection leaves: more bytes are waiting."""

    def on_drained(self) -> None:
        """The writer's listener while the connection leaves: the socket has taken everything."""
        self.peer.transport.shutdown_writing()

    def _sending_failed(self, code: str, message: str) -> None:
        error = ConnectionLost(message, code)
        if code in _RESETS:
            # the reader comes upon the same, after what the client still said (often its goodbye)
            self._send_error = error
        else:
            self.end("slow_player" if code in _NOT_READING else "network_error", error)

    def _failed(self, error: PeerError) -> None:
        """Reading stopped: by a fault of the client, by ``end``, or because the client left."""
        if self._end_reason:
            if self._end_error is not None:
                self.report.failed(self._end_error)
            return
        if self._is_goodbye(error) or self._is_probe(error):
            self._end_reason = "client_closed"
            return
        error = self._send_error or error
        self._end_reason = error.error_type
        if error.phase is None and not self.peer.reader.between_messages:
            error.phase = PHASE_CHUNKING if self.report.is_accepted else PHASE_HANDSHAKE
        self.report.failed(error)

    def _is_goodbye(self, error: PeerError) -> bool:
        """Whether the client simply left.

        It closed its direction between two messages, which counts even where it did not wait for our last bytes (its
        kernel then answers them with a reset, and sending fails with EPIPE: the end of the stream had come already).
        Or it reset the connection while it published nothing: viewers quit with bytes unread, which makes a reset of
        their close and may cut their last message short. A publisher that resets was cut off.
        """
        if not isinstance(error, ConnectionLost) or not self.report.is_accepted:
            return False
        between = self.peer.reader.between_messages
        send_error = self._send_error
        if error.code in _RESETS or (send_error is not None and send_error.code != "EPIPE"):
            return not self.activity.publishers and (between or bool(self.activity.role))
        return error.clean and between

    def _is_probe(self, error: PeerError) -> bool:
        """Whether the client left without a byte, in order or by a reset, as load balancers and port scanners do to see
        that we are here."""
        if not isinstance(error, ConnectionLost) or self.peer.bytes_received:
            return False
        if self.deadline_code == "tls_handshake":
            return error.clean
        return error.clean or error.code in _RESETS

    def _close(self) -> None:
        reason = self._end_reason or "client_closed"
        key = self.activity.stream_key
        self.activity.stop_all(reason, clean=reason not in _CUT_OFF)
        self.peer.writer.close()
        self.peer.transport.close()
        self._context.forget(self)
        self.report.closed(reason, key)
