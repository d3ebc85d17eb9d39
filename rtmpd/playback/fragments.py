"""A stream as fragments of MP4, made once for everybody: HTTP-fMP4, HLS, and the snapshot.

The fragments are short, so that a viewer who gets each as it comes is close behind; segments of HLS are several of
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ..cmaf.muxer import Fragment, Init, Muxer
from ..codec.classify import DATA, HEADER, KEYFRAME, VIDEO
from ..errors import MediaError
from ..event.event import Emit
from ..log import logger
from ..protocol.constants import VIDEO as VIDEO_MESSAGE
from ..stream.frame import Frame
from ..stream.stream import Stream
from ..stream.tap import Tap
from .feed import Feed

FRAGMENT_MS: Final = 200
CODEC_UNSUPPORTED: Final = "codec_unsupported"

_MASK32: Final = 0xFFFFFFFF

_log = logger("playback")


class Taker(Protocol):
    """What fragments are made for. No method switches greenlets or raises."""

    def put(self, fragment: Fragment) -> None:
        """The next fragment."""

    def over(self, reason: str) -> None:
        """There are no more: the stream has ended (``unpublished``), or MP4 cannot carry it."""


class Fragments:
    """The fragments of one publish, for all ``takers``. ``refusal`` is why there are none, "" if there may be.
    ``cache`` has those since the last keyframe, for who comes late; it is empty where they are more than the GOP cache
    may hold. ``on_over`` is called when nobody takes them any more. No method switches greenlets."""

    def __init__(self, stream: Stream, emit: Emit, on_over: Callable[[], None]) -> None:
        self.stream = stream
        self.takers: list[Taker] = []
        self.refusal = ""
        self.cache: list[Fragment] = []
        self.init: Init | None = None
        self._emit = emit
        self._on_over = on_over
        self._cached_bytes = 0
        self._muxer = Muxer()
        self._tap = Tap(self, self)
        stream.open_output(self._tap)

    def add(self, taker: Taker) -> None:
        """Make fragments for ``taker`` too; the first one is given those of the GOP cache."""
        self.takers.append(taker)
        if len(self.takers) == 1:
            self.stream.feed(self._tap)

    def remove(self, taker: Taker) -> None:
        """Make none for ``taker`` any more."""
        if taker in self.takers:
            self.takers.remove(taker)
            if not self.takers:
                self._end()

    def _end(self) -> None:
        self._on_over()
        self.stream.detach(self._tap)

    # --- called by the stream ---------------------------------------------------------------------

    def begin(self, burst: list[Frame], wait_for_keyframe: bool) -> None:
        """Begin with what the GOP cache holds."""
        self.take(burst)

    def take(self, frames: list[Frame]) -> None:
        """Mux the frames of one flush, and pass on what is long enough."""
        if self.refusal:
            return
        muxer = self._muxer
        try:
            for frame in frames:
                if frame.flags & DATA:
                    continue
                for fragment in muxer.feed(frame.type_id, frame.timestamp, frame.payload):
                    self._put(fragment)
                init = muxer.init
                if init is not None and (muxer.pending_ms >= FRAGMENT_MS or (init.has_video and muxer.at_keyframe)):
                    for fragment in muxer.cut():
                        self._put(fragment)
        except MediaError as error:
            self._refuse(str(error))
        except Exception as error:  # noqa: BLE001  this runs in whoever flushes the stream, often its publisher
            _log.exception("no MP4 of this stream", stream_key=self.stream.key)
            self._refuse(f"an error of rtmpd: {error!r}")

    def _put(self, fragment: Fragment) -> None:
        self.init = fragment.init
        if fragment.keyframe or not fragment.init.has_video:
            self.cache = [fragment]
            self._cached_bytes = fragment.size
        elif self.cache:
            self.cache.append(fragment)
            self._cached_bytes += fragment.size
            if self._cached_bytes > self.stream.settings.gop_cache_bytes:
                self.cache = []
        for taker in tuple(self.takers):
            taker.put(fragment)

    def _refuse(self, why: str) -> None:
        self.refusal = why
        stream = self.stream
        self._emit(
            "stream_error",
            stream_key=stream.key,
            error_type="codec_mismatch",
            error_message=why,
            app=stream.app,
            stream_name=stream.name,
        )
        _log.warning("no MP4 of this stream", stream_key=stream.key, error=why)
        for taker in tuple(self.takers):
            taker.over(CODEC_UNSUPPORTED)

    def published(self) -> None:
        """Another publisher goes on with the stream."""

    def unpublished(self) -> None:
        """The stream is over; what is held back comes now."""
        if not self.refusal:
            try:
                for fragment in self._muxer.finish():
                    self._put(fragment)
            except Exception:  # noqa: BLE001  the others of the stream hear of its end after us
                _log.exception("the last fragment is missing", stream_key=self.stream.key)
        takers, self.takers = self.takers, []
        for taker in takers:
            taker.over("")
        self._end()


class Mp4Frame(Frame):
    """A fragment, or an init segment, as it is sent."""

    __slots__ = ()

    def wire(self, chunk_size: int, msid: int) -> bytes:
        """The bytes themselves."""
        return self.payload


def _frame_of(fragment: Fragment) -> Mp4Frame:
    flags = VIDEO | KEYFRAME if fragment.keyframe else VIDEO
    return Mp4Frame(VIDEO_MESSAGE, b"".join(fragment.pieces), round(fragment.start_ms) & _MASK32, flags)


def _header_of(init: Init) -> Mp4Frame:
    return Mp4Frame(VIDEO_MESSAGE, init.data, 0, VIDEO | HEADER)


class Mp4Feed(Feed):
    """HTTP-fMP4: the init segment, then each fragment as it comes."""

    def __init__(self, source: Fragments, on_empty: Callable[[Feed], None]) -> None:
        super().__init__(source.stream, on_empty)
        self._source = source
        self._sent: Init | None = source.init
        source.add(self)

    def burst(self) -> tuple[list[Frame], bool]:
        """The init segment and what came since the last keyframe; whether the next one has to be waited for."""
        source = self._source
        head: list[Frame] = [_header_of(source.init)] if source.init is not None else []
        self._sent = source.init
        waits = not source.cache and (source.init is None or source.init.has_video)
        return head + [_frame_of(fragment) for fragment in source.cache], waits

    def close(self) -> None:
        """The last viewer has left."""
        self._source.remove(self)

    def put(self, fragment: Fragment) -> None:
        """Send a fragment to everybody, after its init segment if that is new."""
        if fragment.init is not self._sent:
            self._sent = fragment.init
            self.group.frames.append(_header_of(fragment.init))
        self.group.frames.append(_frame_of(fragment))
        self.group.flush()

    def over(self, reason: str) -> None:
        """End the viewers."""
        self.is_over = True
        self.finish(reason)


def snapshot(stream: Stream) -> bytes:
    """An init segment and the last keyframe, as a file of MP4; empty if the GOP cache has none. Raises MediaError if
    MP4 cannot carry the codec."""
    muxer = Muxer(with_audio=False)
    pictures = stream.gop.frames
    headers = [frame for frame in stream.gop.joining(0) if frame.flags & HEADER and frame.flags & VIDEO]
    key = [frame for frame in pictures if frame.flags & KEYFRAME and frame.timestamp == pictures[0].timestamp]
    for frame in headers + key:
        muxer.feed(frame.type_id, frame.timestamp, frame.payload)
    fragments = muxer.finish()
    if not fragments or muxer.init is None:
        return b""
    return muxer.init.data + b"".join(piece for fragment in fragments for piece in fragment.pieces)
