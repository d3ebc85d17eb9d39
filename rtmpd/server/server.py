"""The RTMP server: listeners, connections, and an orderly end."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import gevent

from ..log import logger
from ..net.tls import server_context
from ..settings import Address
from .client import Client
from .context import Context
from .listener import Listener
from .watch import Watch

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
        self._wait(lambda: not self._context.connections, drain_s)
        connections = self._context.connections
        if connections:
            _log.info("ending connections", connections=len(connections))
        self._end([c for c in connections.values() if any(c.publishers)])
        self._end(list(connections.values()))
        self._watch.stop()

    def _end(self, connections: list[Client]) -> None:
        """Have these end, and wait a moment until they have."""
        for connection in connections:
            connection.end("server_stop")
        self._wait(lambda: not any(c.conn_id in self._context.connections for c in connections), _CLOSING_S)

    def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = self._context.clock.monotonic() + seconds
        while not condition() and self._context.clock.monotonic() < deadline:
            gevent.sleep(_POLL_S)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.stop()
        self._listeners = []
