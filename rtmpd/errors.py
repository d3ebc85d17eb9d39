"""All errors of rtmpd. Refusals to RTMP clients are the subclasses of ``Rejected``, with their status codes; their
texts are where they are raised: ``server.requests`` (connect, publish, play), ``stream.registry`` (conflicts, limits),
``identity`` (names), ``server.context`` (connections). A client that the access rules refuse gets the fixed text of
``AccessDenied``.

Every error that a peer, a file or our own code can cause is a class of this module. An error of a
connection says what the ``connection_error`` event needs: its type, the phase it belongs to and a
short code. Nothing here imports anything.

=====================  ===================  =====================
class                  error_type           phase
=====================  ===================  =====================
HandshakeError         handshake_failure    handshake
ChunkError             protocol_error       chunking
AmfError CommandError  protocol_error       command_processing
MediaError             protocol_error       media_processing
ConnectionLost         network_error        the phase of the moment
PeerTimeout            timeout              the phase of the moment
=====================  ===================  =====================
"""

from __future__ import annotations

from dataclasses import dataclass

PHASE_HANDSHAKE = "handshake"
PHASE_CHUNKING = "chunking"
PHASE_COMMAND = "command_processing"
PHASE_MEDIA = "media_processing"


class RtmpdError(Exception):
    """Base class of every error that rtmpd raises for its callers."""


# --- errors of one connection -------------------------------------------------------------------


class PeerError(RtmpdError):
    """Something the other end did, or the network between; it ends at most one connection.

    ``code`` is an errno name (``ECONNRESET``) or a short word of ours (``message_too_large``).
    ``phase`` is None where only the connection knows the phase of the moment.
    """

    error_type = "protocol_error"
    phase: str | None = None

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).__name__


class HandshakeError(PeerError):
    """C0, C1 or C2 (S0, S1, S2) were not what RTMP 1.0, 5.2 asks for."""

    error_type = "handshake_failure"
    phase = PHASE_HANDSHAKE


class ChunkError(PeerError):
    """The chunk stream cannot be followed, or it passed one of its limits (RTMP 1.0, 5.3)."""

    phase = PHASE_CHUNKING


class AmfError(PeerError):
    """AMF0 bytes that cannot be decoded, or that passed a limit of depth, items or bytes."""

    phase = PHASE_COMMAND


class CommandError(PeerError):
    """A command that no session may send, or not in this state."""

    phase = PHASE_COMMAND


class MediaError(PeerError):
    """A media payload that contradicts its own header."""

    phase = PHASE_MEDIA


class ConnectionLost(PeerError):
    """The transport ended or failed. ``clean`` is true for an orderly end on a message boundary."""

    error_type = "network_error"

    def __init__(self, message: str, code: str = "EOF", clean: bool = False) -> None:
        super().__init__(message, code)
        self.clean = clean


class PeerTimeout(PeerError):
    """The peer did not do in time what it had to. ``code`` names the deadline that passed."""

    error_type = "timeout"


# --- what a server answers us, its client --------------------------------------------------------


class RefusedByServer(PeerError):
    """The server refuses what we asked for; ``code`` is its NetConnection or NetStream status."""

    error_type = "stream_error"


class EndedByServer(PeerError):
    """The server says that the stream is over; ``code`` is its status, or ``StreamEOF``."""

    error_type = "stream_error"


class UrlError(RtmpdError):
    """A URL that names no stream of an RTMP server."""


# --- refusals: answered with a status code, then the connection may go on ------------------------


class Rejected(RtmpdError):
    """A refused request. The client gets ``status``, a NetStream or NetConnection code, and the message as description;
    ``error_type`` is that of the ``stream_error`` event."""

    status = "NetStream.Failed"
    error_type = "stream_error"


class StreamBusy(Rejected):
    """The key already has a publisher."""

    status = "NetStream.Publish.BadName"
    error_type = "publish_conflict"


class InvalidStreamKey(Rejected):
    """The application or the stream name cannot be used."""

    error_type = "invalid_stream_key"

    def __init__(self, message: str, status: str = "NetStream.Publish.BadName") -> None:
        super().__init__(message)
        self.status = status


class StreamNotFound(Rejected):
    """No publisher has this key, and players may not wait for one."""

    status = "NetStream.Play.StreamNotFound"
    error_type = "stream_not_found"


class LimitReached(Rejected):
    """A configured limit was reached; ``status`` depends on the request."""

    error_type = "limit_reached"

    def __init__(self, message: str, status: str = "NetConnection.Connect.Rejected") -> None:
        super().__init__(message)
        self.status = status


class AccessDenied(Rejected):
    """The access rules refuse this publish or play. The client gets only a fixed text; ``reason`` is for the
    operator."""

    error_type = "auth_failed"

    def __init__(self, reason: str, status: str) -> None:
        super().__init__("Authentication failed.")
        self.reason = reason
        self.status = status


class AppRejected(Rejected):
    """The application of the connect command is not served here."""

    status = "NetConnection.Connect.InvalidApp"
    error_type = "invalid_app"


# --- delivery of events -------------------------------------------------------------------------


class DeliveryError(RtmpdError):
    """A sink could not deliver an event. ``code`` is short and countable (``status:503``). ``fault`` is the part to
    blame (``event``, ``endpoint`` or ``auth``) where the code does not say."""

    fault = "event"

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).__name__


class TransientDeliveryError(DeliveryError):
    """Worth another try. ``retry_after_s`` is the endpoint's own wish, or None."""

    fault = "endpoint"

    def __init__(self, message: str, code: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, code)
        self.retry_after_s = retry_after_s


class NotSentError(TransientDeliveryError):
    """The event was not sent this time, which costs it no attempt; a later try may be."""


class AuthDeliveryError(NotSentError):
    """Nothing allows us to send the event now: no token, no consent, an agreed rate that is used up."""

    fault = "auth"


class PermanentDeliveryError(DeliveryError):
    """No further try can succeed."""


class OperatorRefused(RtmpdError):
    """What an operator asked for cannot be done. ``status`` is that of HTTP."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.status = status


class StoreFault(RtmpdError):
    """The file under the event log could not be read or written."""


class StoreFull(StoreFault):
    """The file under the event log has no room left."""


# --- ours ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration.

    ``where`` is ``file:line`` or ``--flag``; ``key`` the dotted key (``hooks.ops.url``); ``text``
    the raw text found there; ``hint`` what to do about it.
    """

    where: str
    key: str
    message: str
    text: str = ""
    hint: str = ""

    def __str__(self) -> str:
        parts = [f"{self.where}: " if self.where else "", f"{self.key}: " if self.key else "", self.message]
        if self.text:
            parts.append(f" (found {self.text!r})")
        if self.hint:
            parts.append(f"; {self.hint}")
        return "".join(parts)


class ConfigError(RtmpdError):
    """The configuration cannot be used; carries every problem found, not just the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class FilterError(RtmpdError):
    """A filter that cannot be used. ``hint`` says what to write instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class TemplateError(RtmpdError):
    """A template that cannot be used. ``line`` and ``column`` count from 1; ``hint`` says what to write instead."""

    def __init__(self, message: str, line: int, column: int, hint: str = "") -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column
        self.hint = hint


class PluginError(RtmpdError):
    """A plugin that cannot be used. ``key`` is the key of the configuration that is to blame, ``hint`` says what to do
    about it."""

    def __init__(self, message: str, key: str, hint: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.hint = hint


class CredentialError(RtmpdError):
    """A way of authentication that cannot be used. ``key`` is the key of the configuration that is to blame,
    ``hint`` says what to write instead; the message holds no secret."""

    def __init__(self, message: str, key: str, hint: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.hint = hint


class StartError(RtmpdError):
    """The daemon cannot start: an address in use, a certificate that does not load. ``status`` is the exit status, one
    of sysexits, ``key`` the option to look at, if it is one."""

    def __init__(self, message: str, status: int = 69, key: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.key = key


class MisuseError(RtmpdError):
    """A bug of ours: an object was used in a way its contract forbids."""
