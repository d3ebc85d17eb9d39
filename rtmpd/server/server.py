"""The RTMP server: listeners, connections, and an orderly end."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import gevent

from ..log import logger
from ..net.tls import server_context
from ..settings import Address
from .listener import Listener
from .watch import Watch

if TYPE_CHECKING:
    from .context import Context

_log = logger("server")
_CLOSING_S = 2.0
_POLL_S = 0.02


class Server:
    """``start`` and ``stop`` once each."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._listeners: list[Listener] = []
        self._watch = Watch(context)

    def start(self) -> list[Address]:
        """Listen on every address; all are bound before the first client is accepted.

        Raises StartError, with nothing left bound. May switch greenlets.
        """
        settings = self._context.server
        tls: ssl.SSLContext | None = None
        if any(address.tls for address in settings.listen):
            tls = server_context(settings.tls.cert, settings.tls.key)
        self._listeners = [Listener(a, self._context, tls if a.tls else None) for a in settings.listen]
        try:
            addresses = [listener.bind() for listener in self._listeners]
        except BaseException:
            self._close_listeners()
            raise
        for listener in self._listeners:
            listener.start()
        self._watch.start()
        return addresses

    def stop(self, drain_s: float) -> None:
        """Accept no more, let clients leave by themselves for ``drain_s``, then end the rest:
        publishers first, so that players are told. May switch greenlets."""
        self._context.draining = True
        self._close_listeners()
        self._wait_until_empty(drain_s)
        connections = sorted(self._context.connections.values(), key=lambda c: not any(c.publishers))
        if connections:
            _log.info("ending connections", connections=len(connections))
        for connection in connections:
            connection.end("server_stop")
            if any(connection.publishers):
                gevent.sleep(0)
        self._wait_until_empty(_CLOSING_S)
        self._watch.stop()

    def _wait_until_empty(self, seconds: float) -> None:
        deadline = self._context.clock.monotonic() + seconds
        while self._context.connections and self._context.clock.monotonic() < deadline:
            gevent.sleep(_POLL_S)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.stop()
        self._listeners = []
