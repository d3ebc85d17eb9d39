"""The HTTP server: health, metrics and the API that ``rtmpctl`` speaks."""

from __future__ import annotations

from dataclasses import dataclass, field

from .server import Address, TlsSettings

CONTROL_SOCKET = "/run/rtmpd/control.sock"


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """``listen`` are TCP addresses, ``socket`` the path of the control socket ("": no socket). Members of
    ``socket_group`` may use that socket too. ``tls`` is the certificate of the addresses that speak TLS.

    ``token_file`` holds the bearer tokens, one a line. ``hosts`` are names that a request's Host may have besides
    localhost and addresses. ``connections`` is a bound for each listener. ``request_timeout_s`` bounds the whole
    reading of a request, ``send_timeout_s`` each piece of an answer. ``event_queue`` is how many events may wait
    for one of the ``event_listeners``.
    """

    listen: tuple[Address, ...] = ()
    socket: str = "/run/rtmpd/control.sock"
    token_file: str = ""
    hosts: tuple[str, ...] = ()
    connections: int = 64
    body_bytes: int = 65536
    request_timeout_s: float = 10.0
    send_timeout_s: float = 30.0
    event_listeners: int = 16
    event_queue: int = 1000
    tls: TlsSettings = field(default_factory=TlsSettings)
    socket_group: str = ""

    @property
    def has_tls(self) -> bool:
        """Whether any listener speaks TLS."""
        return any(address.tls for address in self.listen)
