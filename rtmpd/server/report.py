"""Emits the events of a connection, with a log line for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..errors import AccessDenied, AppRejected, PeerError, Rejected, StreamNotFound
from ..identity import StreamId
from ..log import logger
from ..protocol.notice import Asked, ConnectAsked, PlayAsked, PublishAsked, Violation
from ..settings import PLAY, PUBLISH
from .context import Context

if TYPE_CHECKING:
    from .connection import Connection

_log = logger("server")
_VIOLATIONS_REPORTED = 10
_TEXT_CHARS = 512
_ACTIONS = {ConnectAsked: "connect", PublishAsked: PUBLISH, PlayAsked: PLAY}


def _cut(text: str) -> str:
    """Return what a client says, cut to a length that an event can carry."""
    return text if len(text) <= _TEXT_CHARS else text[:_TEXT_CHARS] + "..."


class Reporter:
    """Emits a connection's events. ``is_accepted`` is true from the finished handshake on."""

    __slots__ = ("_connection", "_context", "_server", "_violations", "is_accepted")

    def __init__(self, connection: Connection, context: Context, server: tuple[str, int]) -> None:
        self._connection = connection
        self._context = context
        self._server = server
        self._violations = 0
        self.is_accepted = False

    @property
    def _peer_addr(self) -> str:
        return _peer_addr(self._connection)

    def accepted(self, scheme: str) -> None:
        """Report that the handshake is done."""
        self.is_accepted = True
        connection = self._connection
        transport = connection.peer.transport
        tls = bool(transport.tls_version)
        peer_addr = self._peer_addr
        duration_s = self._context.clock.monotonic() - connection.accepted_at
        duration_ms = round(duration_s * 1000, 3)
        self._context.traffic.handshake(duration_s)
        self._context.emit(
            "connection_accept",
            conn_id=connection.conn_id,
            client_ip=connection.address,
            client_port=connection.port,
            server_ip=self._server[0],
            server_port=self._server[1],
            remote_addr=peer_addr,
            tls=tls,
            protocol="rtmps" if tls else "rtmp",
        )
        self._context.emit(
            "handshake_complete",
            conn_id=connection.conn_id,
            duration_ms=duration_ms,
            scheme=scheme,
            tls_version=transport.tls_version,
            tls_cipher=transport.tls_cipher,
        )
        _log.info("connection registered", conn_id=connection.conn_id, peer_addr=peer_addr, tls=tls)

    def closed(self, reason: str, stream_key: str) -> None:
        """Report the end. Only a connection that was accepted has a ``connection_close``."""
        connection = self._connection
        duration = round(self._context.clock.monotonic() - connection.accepted_at, 3)
        if self.is_accepted:
            self._context.emit(
                "connection_close",
                conn_id=connection.conn_id,
                stream_key=stream_key,
                role=connection.activity.role,
                reason=reason,
                duration_sec=duration,
                bytes_received=connection.peer.bytes_received,
                bytes_sent=connection.bytes_sent,
                app=connection.app,
                client_ip=connection.address,
                remote_addr=self._peer_addr,
            )
        _log.info("connection closed", conn_id=connection.conn_id, reason=reason, duration_sec=duration)

    def failed(self, error: PeerError) -> None:
        """Report the error that ended the connection."""
        self._emit_error("connection_error", error.error_type, str(error), error.code, error.phase)
        _log.warning(
            "connection failed",
            conn_id=self._connection.conn_id,
            peer_addr=self._peer_addr,
            error_type=error.error_type,
            code=error.code,
            phase=error.phase or self._connection.phase,
            error=error,
        )

    def over_limit(self, error: Rejected) -> None:
        """Report a connection that was refused because of a limit."""
        self._emit_error("connection_error", "protocol_error", str(error), "connection_limit", None)
        _log.warning("connection refused", conn_id=self._connection.conn_id, peer_addr=self._peer_addr, error=error)

    def tolerated(self, violation: Violation) -> None:
        """Report a violation that is tolerated; only the first few of a connection are reported."""
        self._violations += 1
        if self._violations > _VIOLATIONS_REPORTED:
            return
        self._emit_error("protocol_error", "protocol_error", violation.detail, violation.code, violation.phase)
        _log.warning(
            "protocol violation tolerated",
            conn_id=self._connection.conn_id,
            peer_addr=self._peer_addr,
            code=violation.code,
            detail=violation.detail,
        )

    def _emit_error(self, type: str, error_type: str, message: str, code: str, phase: str | None) -> None:
        connection = self._connection
        duration_ms = int((self._context.clock.monotonic() - connection.accepted_at) * 1000)
        self._context.emit(
            type,
            conn_id=connection.conn_id,
            stream_key=connection.activity.stream_key,
            error_type=error_type,
            error_message=_cut(message),
            error_code=code,
            phase=phase or connection.phase,
            peer_addr=self._peer_addr,
            connection_duration_ms=duration_ms,
            bytes_received=connection.peer.bytes_received,
            bytes_sent=connection.bytes_sent,
            retry_count=0,
        )

    def refused(self, asked: Asked, stream: StreamId, error: Rejected) -> None:
        """Report a request that was refused; ``stream`` is the one it means, as far as that is known."""
        report_refusal(self._context, self._connection, _ACTIONS[type(asked)], stream, error)

    def nobody_publishes(self, stream: StreamId, waits: bool) -> None:
        """Report a play of a stream that is not published; the player ``waits`` or is refused."""
        report_not_found(self._context, self._connection, stream, waits)


class Client(Protocol):
    """Whoever asks: an RTMP connection, or a viewer over HTTP."""

    conn_id: str
    address: str
    port: int


def _peer_addr(client: Client) -> str:
    return f"[{client.address}]:{client.port}" if ":" in client.address else f"{client.address}:{client.port}"


def report_refusal(context: Context, client: Client, action: str, stream: StreamId, error: Rejected) -> None:
    """Report that the ``action`` of a client was refused; ``stream`` is the one it means, as far as that is known.

    The beginning of the log line, up to ``error_type``, is documented for programs that ban addresses, and holds
    nothing that a client can choose (docs/security.md).
    """
    if isinstance(error, StreamNotFound) and action == PLAY:
        report_not_found(context, client, stream, waits=False)
        return
    app, name = map(_cut, stream)
    key = f"{app}/{name}" if name else ""
    error_type = "invalid_stream_key" if isinstance(error, AppRejected) else error.error_type
    message = str(error)
    if isinstance(error, AccessDenied):
        message = f"authentication failed: {error.reason}"
        context.emit(
            "auth_failed",
            conn_id=client.conn_id,
            stream_key=f"{app}/{name}",
            action=action,
            app=app,
            stream_name=name,
            error=message,
            remote_addr=_peer_addr(client),
        )
    context.emit(
        "stream_error",
        conn_id=client.conn_id,
        stream_key=key,
        error_type=error_type,
        error_message=message,
        app=app,
        stream_name=name,
    )
    _log.warning(
        "request refused",
        conn_id=client.conn_id,
        peer_addr=_peer_addr(client),
        action=action,
        error_type=error_type,
        app=app,
        stream_name=name,
        error=message,
    )


def report_not_found(context: Context, client: Client, stream: StreamId, waits: bool) -> None:
    """Report a play of a stream that is not published; the player ``waits`` or is refused."""
    context.emit(
        "stream_not_found",
        conn_id=client.conn_id,
        stream_key=stream.key,
        app=stream.app,
        stream_name=stream.name,
        waiting=waits,
    )
    text = "player waits for a publisher" if waits else "the stream that a player asks for has no publisher"
    _log.info(text, conn_id=client.conn_id, stream_key=stream.key)
