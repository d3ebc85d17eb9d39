"""One live stream: a publisher, its players, and what late joiners need.

The publisher's greenlet calls ``publish`` for each message and ``idle`` when it has nothing more
at hand; everything else follows from there without a switch. Taking the GOP cache and entering the
group happen without a switch too, so a late joiner neither misses nor repeats a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gevent.hub import get_hub

from ..clock import Clock
from ..codec.classify import DATA, HEADER, NOT_CACHED, VIDEO, classify
from ..codec.metadata import clears_metadata, is_metadata, strip_set_data_frame
from ..protocol.constants import DATA_AMF0, DATA_AMF3
from ..protocol.message import Message
from ..settings import AppSettings
from .fanout import Group, Member
from .flush import FlushPolicy, Load
from .frame import FRAME_BYTES, Frame
from .gop import GopCache
from .subscriber import Subscriber
from .tap import Tap
from .timeline import MAX_STEP_MS, Timeline, TrackTime

_MASK32 = 0xFFFFFFFF
_OF_ANY_TIME = DATA | HEADER | NOT_CACHED  # encoders stamp these with 0 as they like
_METADATA_MS = 0  # players take onMetaData of any other time for a track of subtitles or data


class Publisher(Protocol):
    """The publisher, as the stream and the registry see it (``server.publisher``)."""

    conn_id: str
    address: str

    @property
    def total_bytes(self) -> int:
        """Bytes of media so far."""

    def stalled_s(self) -> float:
        """Seconds since its last media message."""

    def replaced(self, by_conn_id: str, policy: str) -> None:
        """Report the end and leave: another client publishes this key from now on."""

    def clock_jumped(self, kind: str, by_ms: int) -> None:
        """The timestamps of its ``audio`` or ``video`` have jumped for the first time; the stream's time goes on."""


class Stream:
    """``key`` is ``<app>/<name>``. ``viewers`` are players that are not sent to as RTMP players: they watch over HTTP
    what an output makes of the stream, but the stream is kept for them too. Nothing here switches greenlets or
    raises."""

    def __init__(
        self, app: str, name: str, settings: AppSettings, clock: Clock, load: Load, on_empty: Callable[[Stream], None]
    ) -> None:
        self.app = app
        self.name = name
        self.key = f"{app}/{name}"
        self.settings = settings
        self.created_at = clock.monotonic()
        self.publisher: Publisher | None = None
        self.subscribers: set[Subscriber] = set()
        self.viewers: set[object] = set()
        self.outputs: set[Tap] = set()
        self._clock = clock
        self._load = load
        self._on_empty = on_empty
        self.gop = GopCache(settings.gop_cache, settings.gop_cache_bytes, settings.gop_cache_frames)
        self._groups: list[Group] = []
        self._policy = FlushPolicy(settings, load, self.flush)
        self._pending = 0
        self._pending_bytes = 0
        self._timeline = Timeline(clock)
        self._heard = False
        self._grace_timer: Any = None

    def configure(self, settings: AppSettings) -> None:
        """Go on with these settings; what waits to be sent is sent first, what is cached is kept if there may be as
        much."""
        if settings == self.settings:
            return
        self.flush()
        self._policy.close()
        self.settings = settings
        self._policy = FlushPolicy(settings, self._load, self.flush)
        self.gop.configure(settings.gop_cache, settings.gop_cache_bytes, settings.gop_cache_frames)
        for subscriber in self.subscribers:
            subscriber.limit(settings.backlog_bytes, settings.backlog_ms)

    @property
    def is_empty(self) -> bool:
        """Neither publisher nor player nor output, nor a publisher that may yet come back."""
        nobody_publishes = self.publisher is None and self._grace_timer is None
        return nobody_publishes and not self._attached

    @property
    def _attached(self) -> bool:
        return bool(self.subscribers or self.outputs or self.viewers)

    @property
    def players(self) -> int:
        """How many watch the stream, over RTMP and over HTTP."""
        return len(self.subscribers) + len(self.viewers)

    @property
    def live(self) -> bool:
        """Whether there is a publisher, or one that was cut off and may yet come back."""
        return self.publisher is not None or self._grace_timer is not None

    # --- the publisher --------------------------------------------------------------------------

    def start_publish(self, publisher: Publisher) -> None:
        """A publisher begins. If it continues for players that are still attached, its timestamps
        are moved so that they go on where the last publisher's ended."""
        resumes = self.live
        self.publisher = publisher
        if resumes:
            self._timeline = Timeline(self._clock, self._timeline if self._attached else None)
            self._stop_grace()
            self.flush()
            self.gop.clear()
        else:
            for subscriber in tuple(self.subscribers):
                subscriber.watcher.published()

    def stop_publish(self, publisher: Publisher, clean: bool) -> None:
        """The publisher is gone: by its own word (``clean``), or cut off and perhaps to return. Does nothing if another
        one has the key by now."""
        if self.publisher is not publisher:
            return
        self.flush()
        self.publisher = None
        grace_s = self.settings.publisher_grace_s
        if clean or not grace_s or not self._attached:
            self._end()
        else:
            self._grace_timer = get_hub().loop.timer(grace_s)
            self._grace_timer.start(self._end)

    def give_up(self) -> None:
        """Wait no longer for a publisher that was cut off."""
        if self._grace_timer is not None:
            self._end()

    def _end(self) -> None:
        if self._grace_timer is not None:
            self._stop_grace()
        if self._attached:
            self.gop.clear()
            self._timeline = Timeline(self._clock)  # for the next publisher
            watchers = [one.watcher for one in self.subscribers] + [one.watcher for one in self.outputs]
            for watcher in watchers:
                watcher.unpublished()
        if not self._attached and self.publisher is None:
            self._on_empty(self)

    def _stop_grace(self) -> None:
        if self._grace_timer is not None:
            self._grace_timer.stop()
            self._grace_timer.close()
            self._grace_timer = None

    def publish(self, message: Message) -> None:
        """One audio, video or data message of the publisher."""
        type_id = message.type_id
        payload = message.payload
        flags = classify(type_id, payload)
        timeline = self._timeline
        track = timeline.video if flags & VIDEO else timeline.audio
        if flags & _OF_ANY_TIME:
            if flags & DATA:
                self._publish_data(message)
                return
            timestamp = timeline.place_aside(track, message.timestamp)
        else:
            timestamp = (message.timestamp + track.shift) & _MASK32
            step_ms = timestamp - track.last
            if 0 <= step_ms <= MAX_STEP_MS:
                track.last = timestamp
                if step_ms:
                    track.spacing = step_ms
            else:
                timestamp = self._place(track, message.timestamp)
            self._heard = True
        frame = Frame(type_id, payload, timestamp, flags)
        self.gop.add(frame)
        if self._groups:
            self._gather(frame)

    def _place(self, track: TrackTime, timestamp: int) -> int:
        """The time of a frame that does not simply go on; a publisher whose clock jumps is reported."""
        timeline = self._timeline
        is_first = timeline.jump is None
        at_ms = timeline.place(track, timestamp)
        if is_first and timeline.jump is not None and self.publisher is not None:
            self.publisher.clock_jumped(*timeline.jump)
        return at_ms

    def _gather(self, frame: Frame) -> None:
        flags = frame.flags
        for group in self._groups:
            if flags & group.wants:
                group.frames.append(frame)
        self._pending |= flags
        self._pending_bytes += len(frame.payload) + FRAME_BYTES

    def _publish_data(self, message: Message) -> None:
        """Data goes to players as AMF0, with onMetaData in the form that they expect."""
        payload = message.payload
        if message.type_id == DATA_AMF3 and payload[:1] == b"\x00":
            payload = payload[1:]
        if clears_metadata(payload):
            self.gop.set_metadata(None)
            return
        payload = strip_set_data_frame(payload)
        metadata = is_metadata(payload)
        if metadata:
            frame = Frame(DATA_AMF0, payload, _METADATA_MS, DATA | HEADER)
            self.gop.set_metadata(frame)
        else:
            timestamp = self._timeline.place_aside(self._timeline.audio, message.timestamp)
            frame = Frame(DATA_AMF0, payload, timestamp, DATA)
        if self._groups:
            self._gather(frame)

    def idle(self) -> None:
        """The publisher waits for bytes: what has gathered may be sent."""
        if self._heard:
            self._heard = False
            self._timeline.heard_at = self._clock.monotonic()
        if self._pending:
            has_video = self.gop.has_video and not self.gop.video_is_over
            self._policy.idle(self._pending, has_video, self._pending_bytes, len(self.subscribers))

    def flush(self) -> None:
        """Send what has gathered, now."""
        if not self._pending:
            return
        self._pending = 0
        self._pending_bytes = 0
        if self._policy.armed:
            self._policy.flushed()
        began = self._clock.monotonic()
        for group in self._groups:
            group.flush()
        self._load.spent(began, self._clock.monotonic())

    @property
    def gather_s(self) -> float:
        """Seconds that the publisher's bytes may wait unread, 0 if they are to be read at once."""
        return self._policy.gather_s

    def set_gathered(self, gathered: bool) -> None:
        """The bytes do wait there, or not any more."""
        self._policy.gathered = gathered

    # --- the players ----------------------------------------------------------------------------

    def attach(self, subscriber: Subscriber) -> None:
        """A player joins, beginning with what the GOP cache holds."""
        self.subscribers.add(subscriber)
        self._join(subscriber)

    def open_output(self, tap: Tap) -> None:
        """An output hears from now on what becomes of the stream; media follows with ``feed``."""
        self.outputs.add(tap)

    def feed(self, tap: Tap) -> None:
        """Media for an output, beginning with what the GOP cache holds; ``pause`` ends it."""
        self._join(tap)

    def _join(self, member: Member) -> None:
        self.flush()
        burst = self.gop.joining(self._timeline.latest) if self.live else []
        wait = self.live and self.gop.has_video and not self.gop.frames
        member.join(self._group_for(member), burst, wait)

    def rejoin(self, subscriber: Subscriber, wait_for_keyframe: bool) -> None:
        """The player's wishes have changed: another group, from here on. Headers are sent again,
        for those that were left out."""
        self.flush()
        wait = wait_for_keyframe or subscriber.misses_frames
        subscriber.leave()
        self._drop_empty_groups()
        burst = [f for f in self.gop.joining(self._timeline.latest) if f.flags & HEADER and f.flags & subscriber.wants]
        subscriber.join(self._group_for(subscriber), burst, wait and self.gop.has_video)

    def pause(self, member: Member) -> None:
        """Send nothing more until ``rejoin``; the player or output stays."""
        self.flush()
        member.leave()
        self._drop_empty_groups()

    def detach(self, member: Member) -> None:
        """A player or an output leaves."""
        self.subscribers.discard(member)  # it is in one of the two
        self.outputs.discard(member)
        member.leave()
        self._drop_empty_groups()
        self._end_if_deserted()

    def dismiss(self, viewer: object) -> None:
        """A viewer leaves."""
        self.viewers.discard(viewer)
        self._end_if_deserted()

    def _end_if_deserted(self) -> None:
        if not self._attached:
            self.give_up()  # no player is left to be kept for a publisher that may return
        if self.is_empty:
            self._on_empty(self)

    def _group_for(self, member: Member) -> Group:
        key = (member.chunk_size, member.msid, member.wants)
        for group in self._groups:
            if (group.chunk_size, group.msid, group.wants) == key:
                return group
        group = Group(*key, self.gop)
        self._groups.append(group)
        return group

    def _drop_empty_groups(self) -> None:
        self._groups = [group for group in self._groups if group]

    def close(self) -> None:
        """Stop and free the timers."""
        if self._grace_timer is not None:
            self._stop_grace()
        self._policy.close()
