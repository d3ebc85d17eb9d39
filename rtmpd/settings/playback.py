"""Viewers over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field

from .server import Address, TlsSettings


@dataclass(frozen=True, slots=True)
class PlaybackSettings:
    """``listen`` are TCP addresses; ``tls`` is the certificate of those that speak TLS. Pages of the origins ``cors``
    may play, ``*`` is every page. ``connections`` is a bound for each listener. ``request_timeout_s`` bounds the whole
    reading of a request, ``send_timeout_s`` each piece of an answer that is not a stream."""

    listen: tuple[Address, ...] = ()
    tls: TlsSettings = field(default_factory=TlsSettings)
    cors: tuple[str, ...] = ("*",)
    connections: int = 2000
    request_timeout_s: float = 10.0
    send_timeout_s: float = 30.0

    @property
    def has_tls(self) -> bool:
        """Whether any listener speaks TLS."""
        return any(address.tls for address in self.listen)
