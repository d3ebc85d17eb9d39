"""The control server of a daemon: from a request to the route that answers it, and the listeners it comes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, unquote

from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule

from ..change import Change
from ..log import logger
from ..settings.http import ApiSettings
from .api import Api
from .guard import CONTROL, Guard, Peer
from .place import CONTROL_SOCKET, usable
from .request import Request
from .response import HttpError, Response
from .route import Route
from .routes import ROUTES
from .server import HttpServer

_log = logger("http")
_UNRESERVED: Final = "-._~"

ByMethod = dict[str, Route]


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


class Router:
    """Answers requests by a table of routes; ``api`` is handed to them."""

    def __init__(self, routes: Sequence[Route], guard: Guard, api: Any) -> None:
        self._routes: dict[str, ByMethod] = {}  # by the rule of their path
        for route in routes:
            self._routes.setdefault(_rule(route), {})[route.method] = route
        rules = [Rule(path, endpoint=path) for path in self._routes]
        self._paths = Map(rules, merge_slashes=False, redirect_defaults=False).bind("localhost")
        self._found = lru_cache(maxsize=512)(self._find)  # most of what is asked for is asked again and again
        self._guard = guard
        self._api = api

    def handle(self, request: Request, peer: Peer) -> Response:
        """The answer. Raises HttpError. May switch greenlets."""
        by_method, values = self._found(request.raw_path)
        scope = next(iter(by_method.values())).scope if by_method else CONTROL  # before it is said what there is
        self._guard.check(request, peer, scope)
        if not by_method:
            raise HttpError(404, "this path is not known; /api/v1/openapi.json lists the paths")
        method = "GET" if request.method == "HEAD" else request.method
        route = by_method.get(method)
        if route is None:
            raise _not_allowed(by_method)
        call = route.call(request, values)
        if method != "GET":
            _log.info("control request", peer=peer.name, method=method, path=request.raw_path)
        return route.handle(self._api, call)

    def _find(self, path: str) -> tuple[ByMethod, Mapping[str, str]]:
        """The routes of a path, by method, and what stands at the places of its names. A slash that is written %2F is
        part of a name and divides nothing, so names are decoded after the path is matched."""
        if "%" in path:
            path = "/".join(quote(unquote(part), safe=_UNRESERVED) for part in path.split("/"))
        try:
            rule, values = self._paths.match(path, "GET")
        except NotFound:
            return {}, {}
        return self._routes[rule], {name: unquote(value) for name, value in values.items()}


def _rule(route: Route) -> str:
    """The path of a route as Werkzeug writes it."""
    *parts, last = route.path.split("/")
    last = last.replace("{", "<path:" if route.rest else "<").replace("}", ">")
    return "/".join([*(part.replace("{", "<").replace("}", ">") for part in parts), last])


def _not_allowed(by_method: ByMethod) -> HttpError:
    allowed = ", ".join(by_method)
    return HttpError(405, f"this takes {allowed}", (("Allow", allowed.replace("GET", "GET, HEAD")),))
