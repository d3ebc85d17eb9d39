"""What viewers ask for: the address of a stream, in the form that they can play.

::

    /live/APP/NAME.flv      HTTP-FLV, or FLV over WebSocket if the client asks for that; ``?raw=1`` as it was published

A token of the access rules stands in the query, ``?token=...``, as in the URL of an RTMP player. A refusal is
plain text for people who look at it, and has the headers that let a page read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

import gevent
from werkzeug.wrappers import Request, Response

from ..clock import Clock
from ..errors import AccessDenied, InvalidStreamKey, LimitReached, Rejected, StreamNotFound
from ..log import logger
from ..settings import AppsSettings
from ..settings.playback import PlaybackSettings
from ..stream.registry import Registry
from ..stream.stream import Stream
from ..stream.tap import Tap
from . import flv, websocket
from .feed import SERVER_STOP, LiveViewer, Ticket, session_of
from .flv import FlvFeed, Form, Tracks, WebSocketViewer

_LIVE: Final = "/live/"
_STEP_S: Final = 0.05
_CLOSING_S: Final = 3.0
_METHODS: Final = ("GET", "HEAD")
_TEXT: Final = "text/plain; charset=utf-8"

_log = logger("playback")


class Caller(Protocol):
    """Who asks: the peer of the HTTP server."""

    @property
    def name(self) -> str:
        """Its address."""

    @property
    def port(self) -> int:
        """Its port."""


class Door(Protocol):
    """What admits viewers (``server.viewing``)."""

    def admit(self, path: str, query: str, address: str, port: int) -> Ticket:
        """Admit a client to the stream that ``path`` names. Raises Rejected. May switch greenlets."""


Take = Callable[[Any, bytes], None]


class TakeOver(Protocol):
    """Makes an answer without an end (``http.response.Takeover``)."""

    def __call__(self, take: Take, headers: Mapping[str, str]) -> Response: ...


class Upgrade(Protocol):
    """Makes an answer that changes the protocol (``http.response.Upgrade``)."""

    def __call__(self, protocol: str, take: Take, headers: Mapping[str, str]) -> Response: ...


class Playback:
    """Answers the requests of viewers. ``stop`` once; ``settings`` and ``apps`` are replaced by assigning others."""

    def __init__(
        self,
        settings: PlaybackSettings,
        apps: AppsSettings,
        registry: Registry,
        door: Door,
        clock: Clock,
        take_over: TakeOver,
        upgrade: Upgrade,
    ) -> None:
        self.settings = settings
        self.apps = apps
        self._registry = registry
        self._door = door
        self._clock = clock
        self._take_over = take_over
        self._upgrade = upgrade
        self._feeds: dict[tuple[Stream, Form], FlvFeed] = {}

    def stop(self) -> None:
        """End the viewers that are left. May switch greenlets."""
        for feed in list(self._feeds.values()):
            for viewer in tuple(feed.viewers):
                viewer.finish(SERVER_STOP)
        deadline = self._clock.monotonic() + _CLOSING_S
        while self._feeds and self._clock.monotonic() < deadline:
            gevent.sleep(_STEP_S)
        for feed in list(self._feeds.values()):
            for viewer in tuple(feed.viewers):
                viewer.end(SERVER_STOP)

    def announce_stop(self) -> None:
        """The server stops: viewers whose stream ends now end for that."""
        for feed in self._feeds.values():
            feed.end_reason = SERVER_STOP

    # --- requests ---------------------------------------------------------------------------------

    def handle(self, request: Request, caller: Caller) -> Response:
        """Answer a request. May switch greenlets."""
        try:
            response = self._answer(request, caller)
        except Rejected as error:
            response = _refusal(error)
        origin = request.headers.get("Origin", "")
        if allowed := self._allowed_origin(origin):
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = "Content-Length, Content-Range, Date, Retry-After"
        if "*" not in self.settings.cors:
            response.headers.add("Vary", "Origin")
        return response

    def _allowed_origin(self, origin: str) -> str:
        """The origin that an answer is for, "" if pages of this one may not read it."""
        if "*" in self.settings.cors:
            return "*"
        return origin if origin.lower() in self.settings.cors else ""

    def _answer(self, request: Request, caller: Caller) -> Response:
        path = request.path
        if request.method == "OPTIONS":
            headers = {"Access-Control-Allow-Methods": "GET, HEAD, OPTIONS", "Access-Control-Allow-Headers": "Range"}
            return Response(status=204, headers={**headers, "Access-Control-Max-Age": "7200"})
        if request.method not in _METHODS:
            return _text(405, "streams are played with GET", {"Allow": "GET, HEAD, OPTIONS"})
        if path.startswith(_LIVE) and path.endswith(".flv"):
            return self._flv(request, caller, path[len(_LIVE) : -len(".flv")])
        return _text(404, "streams are at /live/APPLICATION/NAME.flv")

    # --- FLV --------------------------------------------------------------------------------------

    def _flv(self, request: Request, caller: Caller, path: str) -> Response:
        is_ws = request.headers.get("Upgrade", "").lower() == websocket.PROTOCOL
        is_raw = request.args.get("raw", "") in ("1", "yes", "true")
        if is_ws and (refusal := self._websocket_fault(request)) is not None:
            return refusal
        form = {(False, False): Form.BROWSER, (True, False): Form.RAW, (False, True): Form.BROWSER_WS}.get(
            (is_raw, is_ws), Form.RAW_WS
        )
        ticket = self._door.admit(path, request.environ["QUERY_STRING"], caller.name, caller.port)
        stream = self._registry.find(ticket.stream.key)
        if stream is None:
            raise StreamNotFound(f"{ticket.stream.key} is not published")
        tracks = self._tracks_of(stream)
        if not is_raw and (codecs := tracks.undecodable()):
            text = f"FLV players cannot play {codecs}; /live/{stream.key}.mp4 can be played, and ?raw=1 by ffmpeg"
            return _text(406, text)
        headers = {"Content-Type": flv.CONTENT_TYPE, "Cache-Control": "no-store"}
        if request.method == "HEAD":
            return Response(headers=headers)

        def take(channel: Any, begun: bytes) -> None:
            self._serve_flv(ticket, form, tracks, channel, begun)

        if is_ws:
            accept = websocket.accept_of(request.headers["Sec-WebSocket-Key"])
            return self._upgrade(websocket.PROTOCOL, take, {"Sec-WebSocket-Accept": accept})
        return self._take_over(take, headers)

    def _websocket_fault(self, request: Request) -> Response | None:
        """A refusal if the request cannot become a WebSocket: browsers send WebSockets of any page, and leave it to the
        server to look at the Origin."""
        if fault := websocket.fault_of(request.headers.get):
            return _text(400, fault, {"Sec-WebSocket-Version": "13"})
        origin = request.headers.get("Origin", "")
        if not self._allowed_origin(origin) and not websocket.is_own_origin(origin, request.headers.get("Host", "")):
            return _text(403, "pages of this origin may not play; [playback] cors lists those that may")
        return None

    def _tracks_of(self, stream: Stream) -> Tracks:
        """The tracks of a stream; one that has just begun may yet get others. May switch greenlets."""
        tracks = Tracks()
        tap = Tap(tracks, tracks)
        stream.open_output(tap)
        stream.feed(tap)
        try:
            deadline = self._clock.monotonic() + flv.TRACKS_WAIT_S
            while not tracks.are_settled and stream.live and self._clock.monotonic() < deadline:
                gevent.sleep(_STEP_S)
        finally:
            stream.detach(tap)
        return tracks

    def _serve_flv(self, ticket: Ticket, form: Form, tracks: Tracks, channel: Any, begun: bytes) -> None:
        """One viewer until it ends. May switch greenlets."""
        settings = self.apps.of(ticket.stream.app)
        viewer = (WebSocketViewer if form.is_ws else LiveViewer)(channel.transport, self._clock, settings)
        try:
            with session_of(ticket, form.protocol, viewer) as session:
                read = viewer.reader() if isinstance(viewer, WebSocketViewer) else _ignore
                if begun:
                    read(begun)
                feed = self._feed(session.stream, form)
                feed.tracks = tracks
                viewer.watch_feed(feed, read)
        except Rejected:
            viewer.writer.close()  # it has been reported; the head of the answer is sent already

    def _forget(self, key: tuple[Stream, Form]) -> None:
        del self._feeds[key]

    def _feed(self, stream: Stream, form: Form) -> FlvFeed:
        key = stream, form
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = FlvFeed(stream, form, partial(self._forget, key))
        return feed


def _ignore(data: bytes) -> None:
    """HTTP has nothing to say after a request."""


def _text(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text + "\n", status, headers=dict(headers or {}), content_type=_TEXT)


_STATUSES: Final[dict[type[Rejected], int]] = {
    AccessDenied: 403,
    StreamNotFound: 404,
    InvalidStreamKey: 404,
    LimitReached: 503,
}


def _refusal(error: Rejected) -> Response:
    """The answer to a viewer that is not admitted."""
    status = next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 403)
    return _text(status, str(error), {"Retry-After": "2"} if status == 503 else None)
