"""The way out: a connection to somebody else's server, up to the end of the RTMP handshake."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent import socket

from ..clock import Clock
from ..errors import ConnectionLost, PeerTimeout
from ..protocol.chunk import ChunkLimits
from ..protocol.url import RtmpUrl
from .peer import Peer
from .tls import TlsTransport, client_context
from .transport import RawSocket, Transport, errno_name


def dial(
    url: RtmpUrl,
    clock: Clock,
    limits: ChunkLimits,
    on_failure: Callable[[str, str], None],
    timeout_s: float,
    verify: bool = True,
) -> Peer:
    """A peer that is ready for connect. The caller closes its writer and then its transport.

    ``timeout_s`` is for everything here together; ``verify`` checks the certificate of rtmps.
    May switch greenlets. Raises ConnectionLost, HandshakeError, PeerTimeout.
    """
    late = PeerTimeout(f"{url.host} port {url.port} did not answer within {timeout_s:g} s", "dial_timeout")
    with gevent.Timeout(timeout_s, late):
        transport = _open(url, verify)
        try:
            transport.set_nodelay()
            if isinstance(transport, TlsTransport):
                transport.handshake()
            peer = Peer(transport, clock, limits, on_failure)
            try:
                peer.offer_handshake(int(clock.monotonic() * 1000))
            except BaseException:
                peer.writer.close()
                raise
        except BaseException:
            transport.close()
            raise
    return peer


def _open(url: RtmpUrl, verify: bool) -> Transport:
    try:
        connected = socket.create_connection((url.host, url.port))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConnectionLost(f"{url.host} port {url.port} can not be reached: {reason}", errno_name(error)) from None
    sock = RawSocket(fileno=connected.detach())
    return TlsTransport(sock, client_context(verify), url.host) if url.tls else Transport(sock)
