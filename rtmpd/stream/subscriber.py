"""One player of one stream, and the only place that drops.

A player that takes what it is sent costs nothing here: the group sends to its socket directly. One
that does not has a backlog of frames, bounded in bytes and in media time. Over the bound whole GOP
tails go: everything up to the newest keyframe in the backlog, or all of it until the next keyframe
comes. Metadata and sequence headers are never dropped, and playback always resumes at a keyframe.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..codec.classify import AUDIO, DATA, HEADER, KEYFRAME, VIDEO
from ..protocol.message import Message
from .fanout import Group
from .frame import FRAME_BYTES, Frame
from .timeline import step_ms

_REFILL_BYTES = 256 * 1024
_KEPT = HEADER | DATA
EVERYTHING = AUDIO | VIDEO | DATA


class Outlet(Protocol):
    """The sending side of a connection (``net.writer``)."""

    busy: bool
    bytes_sent: int

    @property
    def send_now(self) -> Callable[[bytes], int]: ...

    def write(self, data: bytes) -> None: ...

    def push(self, data: bytes) -> None: ...

    def fail(self, code: str, message: str) -> None: ...

    def listen(self, listener: Subscriber) -> None: ...

    def ignore(self, listener: Subscriber) -> None: ...


class Watcher(Protocol):
    """The owner of a subscriber, which is notified of changes of the stream (``server.player``)."""

    def published(self) -> None:
        """A publisher has begun, and this player was waiting or has had notice of an end."""

    def unpublished(self) -> None:
        """The publisher is gone, and did not come back in time."""


def _size(frames: list[Frame]) -> int:
    return sum([len(frame.payload) for frame in frames]) + FRAME_BYTES * len(frames)


def _same_picture(before: Frame, after: Frame) -> bool:
    """Whether a keyframe came in several messages, of which these are two."""
    return bool(before.flags & after.flags & KEYFRAME) and before.timestamp == after.timestamp


class Subscriber:
    """``chunk_size`` and ``msid`` are those the player is sent to with, ``wants`` a mask of AUDIO,
    VIDEO and DATA. No method switches greenlets or raises."""

    __slots__ = (
        "_backlog",
        "_backlog_bytes",
        "_backlog_ms",
        "_burst_bytes",
        "_bytes",
        "_counted_from",
        "_group",
        "_joining",
        "_limit_bytes",
        "_outlet",
        "_skipping",
        "chunk_size",
        "frames_dropped",
        "msid",
        "wants",
        "watcher",
    )

    def __init__(
        self, outlet: Outlet, watcher: Watcher, chunk_size: int, msid: int, backlog_bytes: int, backlog_ms: int
    ) -> None:
        self._outlet = outlet
        self.watcher = watcher
        self.chunk_size = chunk_size
        self.msid = msid
        self.wants = EVERYTHING
        self.frames_dropped = 0
        self._limit_bytes = backlog_bytes
        self._backlog_ms = backlog_ms
        self._burst_bytes = 0
        self._backlog: deque[Frame] | None = None
        self._backlog_bytes = 0
        self._group: Group | None = None
        self._counted_from = -1
        self._bytes = 0
        self._skipping = False
        self._joining = False  # what is skipped has not begun yet: sound may go ahead of the picture

    @property
    def bytes_sent(self) -> int:
        """Bytes of media sent, chunk headers included."""
        return self._bytes + self.uncounted_bytes

    @property
    def uncounted_bytes(self) -> int:
        """What the group has sent this player directly and the outlet has not counted yet."""
        if self._counted_from < 0 or self._group is None:
            return 0
        return self._group.sent_bytes - self._counted_from

    @property
    def send_now(self) -> Callable[[bytes], int]:
        """The connection's socket, for the group's loop."""
        return self._outlet.send_now

    @property
    def backlog_frames(self) -> int:
        """Frames that wait for this player."""
        return len(self._backlog) if self._backlog else 0

    def limit(self, backlog_bytes: int, backlog_ms: int) -> None:
        """Let this much wait from now on."""
        self._limit_bytes = backlog_bytes
        self._backlog_ms = backlog_ms

    @property
    def queue_ms(self) -> int:
        """How long what waits for this player plays."""
        return self._media_ms()

    @property
    def misses_frames(self) -> bool:
        """Whether leaving the group now leaves a gap: frames wait, or a keyframe is waited for."""
        return bool(self._backlog) or self._skipping

    # --- joining and leaving --------------------------------------------------------------------

    def join(self, group: Group, burst: list[Frame], wait_for_keyframe: bool) -> None:
        """Enter a group, beginning with ``burst``; what the group gathers from now on follows it."""
        self._group = group
        self._skipping = self._joining = wait_for_keyframe
        self._burst_bytes = _size(burst)
        group.behind.append(self)
        self._append(burst)
        if self._backlog and not self._outlet.busy:
            self._send_some(self._backlog)  # before listening, so that it leaves together with the answer to the play
        self._outlet.listen(self)
        self._refill()

    def notify(self, message: Message) -> None:
        """Send a notice about the stream, after all media that waits for the player."""
        notice = Frame(message.type_id, message.payload, message.timestamp, DATA)
        if self._backlog:
            self._append([notice])
        else:
            self._outlet.write(notice.wire(self.chunk_size, self.msid))

    def leave(self) -> None:
        """Leave the group; what waits is forgotten, except a frame that was begun."""
        group = self._group
        if group is not None:
            self.frames_dropped += sum(1 for frame in self._backlog or () if not frame.flags & _KEPT)
            self._settle_count()
            group.remove(self)
            self._group = None
            self._outlet.ignore(self)
            self._backlog = None
            self._backlog_bytes = 0

    # --- called by the group --------------------------------------------------------------------

    def fall_behind(self, rest: bytes, frames: list[Frame], sent: int) -> None:
        """The socket is full in the middle of a flush."""
        self._settle_count()
        self._bytes += sent + len(rest)
        self._outlet.bytes_sent += sent
        self._append(frames)
        self._outlet.push(rest)

    def enqueue(self, frames: list[Frame]) -> None:
        """Take more frames while behind."""
        self._append(frames)
        if self._backlog_bytes > self._limit_bytes + self._burst_bytes:
            self._drop()
        elif not self._burst_bytes and self._media_ms() > self._backlog_ms:
            self._drop()
        self._refill()

    def fail(self, error: OSError) -> None:
        """Report through the writer that the socket is broken."""
        self._settle_count()
        self._outlet.fail(errno.errorcode.get(error.errno or 0, type(error).__name__), f"writing failed: {error}")

    # --- called by the writer -------------------------------------------------------------------

    def on_busy(self) -> None:
        """Other bytes wait on the same connection: nothing may be sent past them."""
        group = self._group
        if group is not None and self._counted_from >= 0:
            self._settle_count()
            group.demote(self)

    def on_drained(self) -> None:
        """The socket takes bytes again."""
        self._refill()

    # --- the backlog ----------------------------------------------------------------------------

    def _append(self, frames: list[Frame]) -> None:
        if not frames:
            return
        if self._backlog is None:
            self._backlog = deque()
        for frame in frames:
            if self._skipping and not frame.flags & _KEPT and not self._plays(frame):
                if not self._joining:
                    self.frames_dropped += 1
                continue
            self._backlog.append(frame)
            self._backlog_bytes += len(frame.payload) + FRAME_BYTES

    def _plays(self, frame: Frame) -> bool:
        """Whether this frame can be played after a gap. Playback resumes at a keyframe, or at once if the stream has no
        video that is wanted; sound also goes ahead of a picture that has not begun, or that has ended."""
        assert self._group is not None
        gop = self._group.gop
        if frame.flags & KEYFRAME or not (self.wants & VIDEO and gop.has_video):
            self._skipping = self._joining = False
            return True
        return bool(frame.flags & AUDIO and (self._joining or gop.video_is_over))

    def _media_ms(self) -> int:
        """How long the waiting pictures and sounds play; what is kept anyway may be of any time."""
        backlog = self._backlog
        if not backlog:
            return 0
        first = next((frame for frame in backlog if not frame.flags & _KEPT), backlog[0])
        last = next((frame for frame in reversed(backlog) if not frame.flags & _KEPT), first)
        return max(step_ms(first.timestamp, last.timestamp), 0)

    def _drop(self) -> None:
        """Make room: keep from the newest keyframe on, or nothing until the next one comes. Where
        that is not enough, since there is too much that is never dropped, the player is given up."""
        backlog = self._backlog
        assert backlog is not None
        self._burst_bytes = 0
        frames = list(backlog)
        newest = max((i for i, frame in enumerate(frames) if frame.flags & KEYFRAME), default=0)
        while newest and _same_picture(frames[newest - 1], frames[newest]):
            newest -= 1
        kept = [frame for frame in frames[:newest] if frame.flags & _KEPT] + frames[newest:]
        if not newest or _size(kept) > self._limit_bytes:
            kept = [frame for frame in frames if frame.flags & _KEPT]
            self._skipping = True
        self.frames_dropped += len(frames) - len(kept)
        self._backlog = deque(kept)
        self._backlog_bytes = _size(kept)
        if self._backlog_bytes > self._limit_bytes:
            self._give_up()

    def _give_up(self) -> None:
        if self._group is not None:
            self._group.remove(self)
        self._outlet.fail("backlog_full", f"{self._backlog_bytes} bytes wait and none may be dropped")
        self._backlog = None
        self._backlog_bytes = 0

    def _refill(self) -> None:
        """Send from the backlog until the socket is full, or the player has caught up."""
        backlog = self._backlog
        group = self._group
        if group is None:
            return
        while backlog and not self._outlet.busy:
            self._send_some(backlog)
        if not backlog and not self._outlet.busy and not self._skipping and self._counted_from < 0:
            self._backlog = None
            self._burst_bytes = 0
            self._counted_from = group.sent_bytes
            group.promote(self)

    def _send_some(self, backlog: deque[Frame]) -> None:
        """Send from a backlog that is not empty, not more than the socket may well take."""
        wires: list[bytes] = []
        size = 0
        while backlog and size < _REFILL_BYTES:
            frame = backlog.popleft()
            self._backlog_bytes -= len(frame.payload) + FRAME_BYTES
            wire = frame.wire(self.chunk_size, self.msid)
            wires.append(wire)
            size += len(wire)
        self._bytes += size
        self._outlet.write(b"".join(wires))

    def _settle_count(self) -> None:
        """Turn what the group counted for us into our own count, and the outlet's."""
        uncounted = self.uncounted_bytes
        self._bytes += uncounted
        self._outlet.bytes_sent += uncounted
        self._counted_from = -1
