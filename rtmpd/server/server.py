"""The RTMP server: listeners, connections, and an orderly end."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import gevent

from ..change import Change
from ..log import logger
from ..metrics.fault import DESCRIPTORS, Fault
from ..net.tls import server_context
from ..settings import Address, ServerSettings
from .context import Context
from .listener import Listener
from .watch import Watch

if TYPE_CHECKING:
    from .connection import Connection

_log = logger("server")
_CLOSING_S = 2.0
_POLL_S = 0.02


class Server:
    """``start`` and ``stop`` once each."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._listeners: dict[Address, Listener] = {}  # by ``_place``
        self._watch = Watch(context)

    def start(self) -> list[Address]:
        """Listen on every address; all are bound before the first client is accepted.

        Raises StartError, with nothing left bound. May switch greenlets.
        """
        self.prepare(self._context.server).commit()
        self._watch.start()
        return self.addresses

    @property
    def addresses(self) -> list[Address]:
        """What is listened on, with the real ports."""
        return [listener.address for listener in self._listeners.values()]

    def faults(self) -> Iterator[Fault]:
        """Yield the listeners that cannot accept connections now."""
        for listener in self._listeners.values():
            if shortage := listener.shortage:
                yield Fault(DESCRIPTORS, str(listener.address), shortage)

    def prepare(self, settings: ServerSettings) -> Change:
        """Prepare a change to these settings (``change``): new addresses are bound, and the certificate is read again,
        the old addresses go on until then. Connections stay, also those of addresses that go. Raises StartError."""
        tls: ssl.SSLContext | None = None
        if settings.has_tls:
            tls = server_context(settings.tls.cert, settings.tls.key)
        wanted = {_place(address): address for address in settings.listen}
        kept = {place: self._listeners[place] for place in wanted if place in self._listeners}
        added: dict[Address, Listener] = {}
        try:
            for place, address in wanted.items():
                if place not in kept:
                    added[place] = Listener(address, self._context, tls if address.tls else None)
                    added[place].bind(settings.backlog)
        except BaseException:
            _stop(added.values())
            raise

        def commit() -> None:
            self._context.server = settings
            removed = [listener for place, listener in self._listeners.items() if place not in kept]
            self._listeners = {place: kept.get(place) or added[place] for place in wanted}
            for place, listener in kept.items():
                listener.secure(tls if wanted[place].tls else None)
                listener.resize(settings.backlog)
            for listener in added.values():
                listener.start()
            _stop(removed)

        return Change(commit, abort=lambda: _stop(added.values()))

    def stop(self, drain_s: float) -> None:
        """Accept no more, let clients leave by themselves for ``drain_s``, then end the rest:
        publishers first, so that their players are notified. May switch greenlets."""
        if not self._context.draining:
            self._ask_to_reconnect()
        self._context.draining = True
        _stop(self._listeners.values())
        self._listeners = {}
        self._wait(lambda: not self._context.connections, drain_s)
        connections = self._context.connections
        if connections:
            _log.info("ending connections", connections=len(connections))
        self._end([c for c in connections.values() if c.activity.publishers])
        self._end(list(connections.values()))
        self._watch.stop()
        self._context.pool.close()

    def _ask_to_reconnect(self) -> None:
        """Ask clients that support it to reconnect, so that the drain ends soon and they lose little."""
        settings = self._context.server
        if not settings.ask_to_reconnect:
            return
        asked = 0
        for client in list(self._context.connections.values()):
            replies = client.session.ask_to_reconnect(settings.reconnect_url, "The server is stopping.")
            client.peer.send_all(replies)
            asked += bool(replies)
        if asked:
            _log.info("clients asked to reconnect", connections=asked, url=settings.reconnect_url or None)

    def _end(self, connections: list[Connection]) -> None:
        """End these connections and wait up to ``_CLOSING_S`` until they are closed."""
        for connection in connections:
            connection.end("server_stop")
        self._wait(lambda: not any(c.conn_id in self._context.connections for c in connections), _CLOSING_S)

    def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = self._context.clock.monotonic() + seconds
        while not condition() and self._context.clock.monotonic() < deadline:
            gevent.sleep(_POLL_S)


def _place(address: Address) -> Address:
    """What a listener is known by: its address as it is written. A port that begins or ceases to be one for TLS is the
    same; free ports are not."""
    return replace(address, tls=False) if address.port else address


def _stop(listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        listener.stop()
