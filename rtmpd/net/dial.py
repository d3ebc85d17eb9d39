"""Connects to another server, up to the end of the RTMP handshake."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from ..clock import Clock
from ..errors import ConnectionLost, PeerTimeout
from ..protocol.chunk import ChunkLimits
from ..protocol.url import RtmpUrl
from .outgoing import Outgoing
from .peer import Peer
from .tls import TlsTransport, client_context
from .transport import Transport, errno_name


def dial(
    url: RtmpUrl,
    way: Outgoing,
    clock: Clock,
    limits: ChunkLimits,
    on_failure: Callable[[str, str], None],
    timeout_s: float,
    verify: bool = True,
) -> Peer:
    """Return a peer that is ready for the connect command. The caller closes its writer and then its transport.

    ``way`` resolves the name and races its addresses. ``timeout_s`` is for everything here together; ``verify`` checks
    the certificate of rtmps.
    May switch greenlets. Raises ConnectionLost, HandshakeError, PeerTimeout.
    """
    limit = gevent.Timeout(timeout_s)
    try:
        with limit:
            transport = _open(url, way, verify)
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
    except gevent.Timeout as late:
        if late is not limit:
            raise
        where = "".join(f": {note}" for note in getattr(late, "__notes__", ()))
        text = f"{url.host} port {url.port} did not answer within {timeout_s:g} s{where}"
        raise PeerTimeout(text, "dial_timeout") from None
    return peer


def _open(url: RtmpUrl, way: Outgoing, verify: bool) -> Transport:
    host = url.host.replace("%25", "%") if ":" in url.host else url.host  # a zone, as URLs have it (RFC 6874)
    try:
        sock, _ = way.connect(host, url.port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConnectionLost(f"{url.host} port {url.port} cannot be reached: {reason}", errno_name(error)) from None
    if not url.tls:
        return Transport(sock)
    return TlsTransport(sock, client_context(verify), host.rstrip(".").partition("%")[0])
