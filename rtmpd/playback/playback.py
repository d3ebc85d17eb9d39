"""What viewers ask for: the address of a stream, in the form that they can play.

::

    /hls/APP/NAME/index.m3u8    HLS
    /live/APP/NAME.mp4          HTTP-fMP4: fragments of MP4 for as long as the stream lasts
    /live/APP/NAME.flv          HTTP-FLV, or FLV over WebSocket if the client asks for that; ``?raw=1`` as published
    /snapshot/APP/NAME.mp4      the last keyframe, as MP4

A token of the access rules stands in the query, ``?token=...``, as in the URL of an RTMP player. A refusal is
plain text for people who look at it, and has the headers that let a page read it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

import gevent
from werkzeug.wrappers import Request, Response

from ..clock import Clock
from ..cmaf.muxer import Fragment
from ..errors import AccessDenied, InvalidStreamKey, LimitReached, MediaError, Rejected, StreamNotFound
from ..event.event import Emit
from ..identity import joined
from ..settings import AppsSettings
from ..settings.playback import SESSIONS_SHARED, PlaybackSettings
from ..stream.registry import Registry
from ..stream.stream import Stream
from ..stream.tap import Tap
from . import flv, websocket
from .directory import Directory
from .feed import SERVER_STOP, UNPUBLISHED, Feed, LiveViewer, Ticket, session_of
from .flv import FlvFeed, Form, Tracks, WebSocketViewer
from .fragments import Fragments, Mp4Feed, snapshot
from .hls import INDEX, MP4_TYPE, PLAYLIST, PLAYLIST_TYPE, HlsStream, Observer
from .visitor import Visitors

_LIVE: Final = "/live/"
_HLS: Final = "/hls/"
_SNAPSHOT: Final = "/snapshot/"
_STEP_S: Final = 0.05
_LOOK_S: Final = 1.0
_CLOSING_S: Final = 3.0
_INIT_WAIT_S: Final = 5.0
_SEGMENT_WAIT_S: Final = 20.0
_IDLE_HLS_S: Final = 30.0
_METHODS: Final = ("GET", "HEAD")
_TEXT: Final = "text/plain; charset=utf-8"
_FOR_EVER: Final = "max-age=31536000, immutable"


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
    """Answers the requests of viewers. ``start`` and ``stop`` once each; ``apps`` is replaced by assigning others,
    ``settings`` by ``configure``."""

    def __init__(
        self,
        settings: PlaybackSettings,
        apps: AppsSettings,
        registry: Registry,
        emit: Emit,
        door: Door,
        clock: Clock,
        take_over: TakeOver,
        upgrade: Upgrade,
    ) -> None:
        self.settings = settings
        self.apps = apps
        self._registry = registry
        self._emit = emit
        self._door = door
        self._clock = clock
        self._take_over = take_over
        self._upgrade = upgrade
        self._feeds: dict[tuple[Stream, Form | None], Feed] = {}
        self._sources: dict[Stream, Fragments] = {}
        self._refused: WeakKeyDictionary[Stream, str] = WeakKeyDictionary()
        self._hls: dict[str, HlsStream] = {}
        self._asked_at: dict[str, float] = {}
        self._visitors = Visitors(clock)
        self._directory: Directory | None = None
        self._looking: gevent.Greenlet[[], None] | None = None
        registry.on_start(self._published)

    def start(self) -> None:
        """Look after the playlists from now on."""
        self._looking = gevent.spawn(self._look)
        self._looking.name = "playback"
        self._open_directory()

    def configure(self, settings: PlaybackSettings) -> None:
        """Apply these settings. Playlists that there are go on with the old ones, unless their files go elsewhere."""
        before, self.settings = self.settings, settings
        if settings.hls_dir != before.hls_dir:
            for key in list(self._hls):
                self._close_hls(key)
            if self._directory is not None:
                self._directory.finish()
                self._directory = None
            self._open_directory()

    def _open_directory(self) -> None:
        if self.settings.hls_dir:
            self._directory = Directory(self.settings.hls_dir)
            for stream in self._registry:
                if stream.publisher is not None:
                    self._published(stream)

    def stop(self) -> None:
        """End the viewers that are left. May switch greenlets."""
        if self._looking is not None:
            self._looking.kill()
        for visitor in self._visitors.all():
            visitor.end(SERVER_STOP)
        for key in list(self._hls):
            self._close_hls(key)
        for feed in list(self._feeds.values()):
            feed.finish(SERVER_STOP)
        deadline = self._clock.monotonic() + _CLOSING_S
        while self._feeds and self._clock.monotonic() < deadline:
            gevent.sleep(_STEP_S)
        for feed in list(self._feeds.values()):
            for viewer in tuple(feed.viewers):
                viewer.end(SERVER_STOP)
        if self._directory is not None:
            self._directory.stop()

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
        if path.startswith(_HLS):
            key, _, name = path[len(_HLS) :].rpartition("/")
            return self._hls_file(request, caller, joined(key), name)
        for prefix, suffix, answer in (
            (_LIVE, ".flv", self._flv), (_LIVE, ".mp4", self._mp4), (_SNAPSHOT, ".mp4", self._picture)
        ):  # fmt: skip
            if path.startswith(prefix) and path.endswith(suffix):
                return answer(request, caller, path[len(prefix) : -len(suffix)])
        return _text(404, "streams are at /hls/APPLICATION/NAME/index.m3u8, /live/APPLICATION/NAME.mp4 and .flv")

    def _admit(self, request: Request, caller: Caller, path: str) -> tuple[Ticket, Stream]:
        ticket = self._door.admit(path, request.environ["QUERY_STRING"], caller.name, caller.port)
        stream = self._registry.find(ticket.stream.key)
        if stream is None:
            raise StreamNotFound(f"{ticket.stream.key} is not published")
        return ticket, stream

    # --- FLV --------------------------------------------------------------------------------------

    def _flv(self, request: Request, caller: Caller, path: str) -> Response:
        is_ws = request.headers.get("Upgrade", "").lower() == websocket.PROTOCOL
        is_raw = request.args.get("raw", "") in ("1", "yes", "true")
        if is_ws and (refusal := self._websocket_fault(request)) is not None:
            return refusal
        form = {(False, False): Form.BROWSER, (True, False): Form.RAW, (False, True): Form.BROWSER_WS}.get(
            (is_raw, is_ws), Form.RAW_WS
        )
        ticket, stream = self._admit(request, caller, path)
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
                key = session.stream, form
                feed = self._feeds.get(key)
                if feed is None:
                    feed = self._feeds[key] = FlvFeed(session.stream, form, partial(self._forget, key))
                assert isinstance(feed, FlvFeed)
                feed.tracks = tracks
                viewer.watch_feed(feed, read)
        except Rejected:
            viewer.writer.close()  # it has been reported; the head of the answer is sent already

    def _forget(self, key: tuple[Stream, Form | None], feed: Feed) -> None:
        if self._feeds.get(key) is feed:  # another one may have taken the place of one that was over
            del self._feeds[key]

    # --- fragments of MP4 -------------------------------------------------------------------------

    def _published(self, stream: Stream) -> None:
        """A publisher begins: its stream may be one that MP4 can carry, and the playlist of the last one goes on."""
        self._refused.pop(stream, None)
        hls = self._hls.get(stream.key)
        if hls is None and self._directory is not None:
            hls = self._make_hls(stream)
        if hls is not None and not hls.is_fed:
            hls.feed(self._fragments(stream))

    def _fragments(self, stream: Stream) -> Fragments:
        source = self._sources.get(stream)
        if source is None:
            source = self._sources[stream] = Fragments(stream, self._emit, partial(self._source_over, stream))
        return source

    def _source_over(self, stream: Stream) -> None:
        source = self._sources.pop(stream, None)
        if source is not None and source.refusal:
            self._refused[stream] = source.refusal

    def _mp4(self, request: Request, caller: Caller, path: str) -> Response:
        ticket, stream = self._admit(request, caller, path)
        if (codecs := self._codecs_of(stream)) is None:
            return self._not_mp4(stream)
        headers = {"Content-Type": f'{MP4_TYPE}; codecs="{codecs}"', "Cache-Control": "no-store"}
        if request.method == "HEAD":
            return Response(headers=headers)
        return self._take_over(lambda channel, begun: self._serve_mp4(ticket, channel), headers)

    def _codecs_of(self, stream: Stream) -> str | None:
        """The codecs of a stream by RFC 6381; None if MP4 cannot carry it, or nothing has come in time. May switch
        greenlets."""
        if stream in self._refused:
            return None
        source, waiting = self._fragments(stream), _Waiting()
        source.add(waiting)
        try:
            deadline = self._clock.monotonic() + _INIT_WAIT_S
            while source.init is None and not waiting.is_over and self._clock.monotonic() < deadline:
                gevent.sleep(_STEP_S)
            return source.init.codecs if source.init is not None and not source.refusal else None
        finally:
            source.remove(waiting)

    def _not_mp4(self, stream: Stream) -> Response:
        if why := self._refused.get(stream):
            return _text(406, f"{why}; /live/{stream.key}.flv may be played")
        return _text(503, "nothing that can be played has come yet", {"Retry-After": "2"})

    def _serve_mp4(self, ticket: Ticket, channel: Any) -> None:
        """One viewer until it ends. May switch greenlets."""
        viewer = LiveViewer(channel.transport, self._clock, self.apps.of(ticket.stream.app))
        try:
            with session_of(ticket, "http-fmp4", viewer) as session:
                key = session.stream, None
                feed = self._feeds.get(key)
                if feed is None or feed.is_over:
                    feed = self._feeds[key] = Mp4Feed(self._fragments(session.stream), partial(self._forget, key))
                viewer.watch_feed(feed, _ignore)
        except Rejected:
            viewer.writer.close()  # it has been reported; the head of the answer is sent already

    def _picture(self, request: Request, caller: Caller, path: str) -> Response:
        _, stream = self._admit(request, caller, path)
        try:
            data = snapshot(stream)
        except MediaError as error:
            return _text(406, str(error))
        if not data:
            return _text(503, "there is no keyframe at hand", {"Retry-After": "2"})
        return _file(request, data, MP4_TYPE, "max-age=1")

    # --- HLS --------------------------------------------------------------------------------------

    def _hls_file(self, request: Request, caller: Caller, key: str, name: str) -> Response:
        shares = self.settings.hls_sessions == SESSIONS_SHARED
        visitor = self._visitors.find(request.args.get("s", ""), key) if "s" in request.args and not shares else None
        if name == INDEX and visitor is None:
            return self._first_index(request, caller, key, shares)
        if visitor is None and not shares:
            return _text(403, f"begin with {INDEX}: its addresses name your session, which is over or not known")
        hls = self._hls.get(key)
        if hls is None or not hls.has_segments:
            return _text(404, "the stream is over")
        given = request.args.get("k", "").encode("utf-8", "replace")
        if shares and name == PLAYLIST and not secrets.compare_digest(given, hls.secret.encode()):
            return _text(403, f"begin with {INDEX}: it has the address of this playlist")
        self._asked_at[key] = self._clock.monotonic()
        if visitor is not None and request.method == "GET" and not hls.has_ended:
            visitor.seen()
        query = f"?s={self._visitors.name_of(visitor)}" if visitor is not None and name in (INDEX, PLAYLIST) else ""
        if name in (INDEX, PLAYLIST):
            text = hls.index(query) if name == INDEX else hls.playlist(query)
            return _file(request, text.encode(), PLAYLIST_TYPE, "max-age=1")
        data = hls.file(name)
        if data is None:
            return _text(404, "this segment is not kept any more, or there is none of this name")
        response = _file(request, data, MP4_TYPE, _FOR_EVER)
        if visitor is not None and request.method == "GET":
            visitor.bytes_sent += response.content_length or 0
        return response

    def _first_index(self, request: Request, caller: Caller, key: str, shares: bool) -> Response:
        """Admit a viewer, and begin its session once there is something to play. May switch greenlets."""
        ticket, stream = self._admit(request, caller, key)
        if stream in self._refused:
            return self._not_mp4(stream)
        hls = self._hls.get(stream.key) or self._make_hls(stream)
        if not hls.is_fed and stream.publisher is not None:
            hls.feed(self._fragments(stream))
        self._asked_at[stream.key] = self._clock.monotonic()
        hls.ready.wait(_SEGMENT_WAIT_S)
        if not hls.has_segments:
            return self._not_mp4(stream)
        if shares:
            return _file(request, hls.index(f"?k={hls.secret}").encode(), PLAYLIST_TYPE, "max-age=1")
        if request.method == "HEAD":
            return _file(request, hls.index("").encode(), PLAYLIST_TYPE, "no-store")
        visitor = self._visitors.new(ticket, stream.key, lambda: hls.target_s)
        try:
            visitor.seen()
        except Rejected:
            self._visitors.forget(visitor)
            raise
        text = hls.index(f"?s={self._visitors.name_of(visitor)}")
        if stream.key != key:  # a callback renamed it
            text = text.replace(PLAYLIST, f"/hls/{stream.key}/{PLAYLIST}")
        return _file(request, text.encode(), PLAYLIST_TYPE, "no-store")

    def _make_hls(self, stream: Stream) -> HlsStream:
        observer = self._directory or Observer()
        hls = self._hls[stream.key] = HlsStream(stream, self.settings, self._clock, self._emit, observer)
        self._asked_at[stream.key] = self._clock.monotonic()
        return hls

    def _close_hls(self, key: str) -> None:
        self._asked_at.pop(key, None)
        self._hls.pop(key).close()

    def _look(self) -> None:
        """Once a second: end playlists whose stream is over, and forget what nobody asks for. The body of the greenlet
        ``playback``."""
        while True:
            gevent.sleep(_LOOK_S)
            now = self._clock.monotonic()
            for key, hls in list(self._hls.items()):
                hls.look(now)
                if hls.has_ended:
                    for visitor in self._visitors.of(key):
                        visitor.stop(UNPUBLISHED)
                is_wanted = hls.is_fed and self._directory is not None
                if not is_wanted and now - self._asked_at[key] > max(_IDLE_HLS_S, 6 * hls.target_s):
                    self._close_hls(key)
            self._visitors.look(now)


class _Waiting:
    """Takes fragments for somebody who waits for the first one."""

    def __init__(self) -> None:
        self.is_over = False

    def put(self, fragment: Fragment) -> None:
        """The source has it."""

    def over(self, reason: str) -> None:
        """There will be none."""
        self.is_over = True


def _ignore(data: bytes) -> None:
    """HTTP has nothing to say after a request."""


def _text(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text + "\n", status, headers=dict(headers or {}), content_type=_TEXT)


def _file(request: Request, data: bytes, content_type: str, cached: str) -> Response:
    """All of ``data``, or the range that is asked for."""
    response = Response(data, content_type=content_type, headers={"Cache-Control": cached, "Accept-Ranges": "bytes"})
    if request.headers.get("Range", "").startswith("bytes="):
        response.make_conditional(request.environ, accept_ranges=True, complete_length=len(data))
    return response


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
