"""The HTTP server of a daemon: listeners, guard and routes together."""

from __future__ import annotations

from ..change import Change
from ..log import logger
from ..settings.http import ApiSettings
from .api import Api
from .guard import Guard
from .place import CONTROL_SOCKET, usable
from .router import Router
from .routes import ROUTES
from .server import HttpServer

_log = logger("http")


class Front:
    """``start`` and ``stop`` once each."""

    def __init__(self, settings: ApiSettings, api: Api) -> None:
        self._settings = settings
        self._router = Router(ROUTES, Guard(settings.token_file, settings.hosts), api)
        self._server = HttpServer(settings, "", self._router.handle)

    def start(self) -> list[str]:
        """Listen; return the addresses and the path. Raises OSError for an address or path that is configured; without
        the default control socket the daemon runs too, since another daemon may have it. May switch greenlets."""
        path = usable(self._settings.socket)
        self._server = HttpServer(self._settings, path, self._router.handle)
        if self._settings.socket != CONTROL_SOCKET:
            return self._server.start()
        if not path:
            _log.info("no control socket", path=CONTROL_SOCKET, error="its directory cannot be written")
            return self._server.start()
        try:
            return self._server.start()
        except OSError as error:
            _log.warning("no control socket", path=path, error=error.strerror)
            self._server = HttpServer(self._settings, "", self._router.handle)
            return self._server.start()

    def prepare(self, settings: ApiSettings, api: Api) -> Change:
        """Return the change to these settings (``rtmpd.change``). Raises OSError."""
        router = Router(ROUTES, Guard(settings.token_file, settings.hosts), api)
        change = self._server.prepare(settings, self._path(settings), router.handle)

        def commit() -> None:
            self._settings, self._router = settings, router

        return Change.join(change, Change(commit))

    def _path(self, settings: ApiSettings) -> str:
        """Where the control socket is to be: the usual one stays as it was found at the start."""
        if settings.socket == self._settings.socket == CONTROL_SOCKET:
            return self._server.socket_path
        return usable(settings.socket)

    def stop(self) -> None:
        """Close the listeners and end what is under way. May switch greenlets."""
        self._server.stop()
