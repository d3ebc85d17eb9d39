"""Viewers over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field

from .server import Address, TlsSettings

SESSIONS_VIEWERS = "viewers"
SESSIONS_SHARED = "shared"


@dataclass(frozen=True, slots=True)
class PlaybackSettings:
    """``listen`` are TCP addresses; ``tls`` is the certificate of those that speak TLS. Pages of the origins ``cors``
    may play, ``*`` is every page. ``connections`` is a bound for each listener. ``request_timeout_s`` bounds the whole
    reading of a request, ``send_timeout_s`` each piece of an answer that is not a stream.

    A segment of HLS ends at the first keyframe after ``hls_segment_s``, and ``hls_segments`` are in a playlist. The
    segments of one stream may have ``hls_memory_bytes``. ``hls_dir`` is where they are written to, "" for nowhere.
    ``hls_sessions`` is a ``SESSIONS_*`` word."""

    listen: tuple[Address, ...] = ()
    tls: TlsSettings = field(default_factory=TlsSettings)
    cors: tuple[str, ...] = ("*",)
    connections: int = 2000
    request_timeout_s: float = 10.0
    send_timeout_s: float = 30.0
    hls_segment_s: float = 2.0
    hls_segments: int = 7
    hls_memory_bytes: int = 64 * 1024 * 1024
    hls_dir: str = ""
    hls_sessions: str = SESSIONS_VIEWERS

    @property
    def has_tls(self) -> bool:
        """Whether any listener speaks TLS."""
        return any(address.tls for address in self.listen)
