"""From a request to the route that answers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..log import logger
from .guard import CONTROL, Guard, Peer
from .problem import HttpError
from .request import Request
from .response import Response
from .route import Route

_log = logger("http")

Match = tuple[Route, dict[str, str]]


class Router:
    """Answers requests by a table of routes; ``api`` is handed to them."""

    def __init__(self, routes: Sequence[Route], guard: Guard, api: Any) -> None:
        self._routes = routes
        self._guard = guard
        self._api = api

    def handle(self, request: Request, peer: Peer) -> Response:
        """The answer. Raises HttpError. May switch greenlets."""
        found = self._found(request)
        scope = found[0][0].scope if found else CONTROL  # before anything is said about what there is
        self._guard.check(request, peer, scope)
        if not found:
            raise HttpError(404, "there is nothing of this name; /api/v1/openapi.json tells what there is")
        method = "GET" if request.method == "HEAD" else request.method
        for route, match in found:
            if route.method == method:
                call = route.call(request, match)
                if method != "GET":
                    _log.info("control request", peer=peer.name, method=method, path=request.path)
                return route.handle(self._api, call)
        raise _not_allowed(found)

    def _found(self, request: Request) -> list[Match]:
        """The routes of the path; one that is written out goes before one with names in it."""
        fitting = [(route, match) for route in self._routes if (match := route.match(request.segments)) is not None]
        exact = [(route, match) for route, match in fitting if not match]
        return exact or fitting


def _not_allowed(found: list[Match]) -> HttpError:
    allowed = ", ".join(dict.fromkeys(route.method for route, _ in found))
    return HttpError(405, f"this takes {allowed}", (("Allow", allowed.replace("GET", "GET, HEAD")),))
