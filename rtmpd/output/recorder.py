"""Records one stream: frames in, files out. A slow disk never affects the stream.

Frames are gathered in a queue that is bounded in bytes. One greenlet hands what has gathered to a thread, waits for it,
and reports what came of it. A disk that is too slow for the queue, or full, costs the recording and nothing else.
"""

from __future__ import annotations

import os
from typing import Any, Final

from gevent.event import Event
from gevent.threadpool import ThreadPool

from ..clock import Clock
from ..event.event import Emit
from ..log import logger
from ..settings.output import OutputSettings
from ..stream.frame import Frame
from ..stream.stream import Stream
from .output import Output, Owner
from .path import Name
from .recording import ERROR, MAX_SIZE, Completed, Fact, Opened, Recording, Stopped

DISK_SLOW: Final = "disk_slow"

_log = logger("output")


class Recorder(Output):
    """``bytes_written`` is the size of all files of the recording. It also ends by itself where the disk cannot go on;
    ``failure`` is then the reason and what is known of it, else ""."""

    def __init__(
        self,
        stream: Stream,
        settings: OutputSettings,
        emit: Emit,
        clock: Clock,
        threads: ThreadPool,
        session_id: str,
        owner: Owner,
    ) -> None:
        self.settings = settings
        self.session_id = session_id
        self.bytes_written = 0
        self.failure = ""
        self._emit = emit
        self._clock = clock
        self._threads = threads
        self._path = ""
        self._opened_at = 0.0
        self._queue: list[Frame] = []
        self._queued_bytes = 0
        self._reported = False
        self._wake = Event()
        self._recording = Recording(settings, self._name, clock)
        super().__init__(stream, owner, "recorder")
        stream.feed(self._tap)

    def _name(self, segment: int) -> Name:
        """Return the name of a segment's file. Called in the thread."""
        return Name(self.stream.app, self.stream.name, self.session_id, self._clock.wall(), segment)

    # --- called by the stream ---------------------------------------------------------------------

    def begin(self, burst: list[Frame], wait_for_keyframe: bool) -> None:
        """A recording that begins late begins with what the GOP cache has."""
        self.take(burst)

    def take(self, frames: list[Frame]) -> None:
        """Queue ``frames`` for the thread."""
        if self.reason:
            return
        self._queue += frames
        self._queued_bytes += sum(frame.weight for frame in frames)
        self._wake.set()
        if self._queued_bytes > self.settings.record_queue_bytes:
            self.failure = f"{DISK_SLOW}: {self._queued_bytes} bytes wait for the disk"
            self.end(DISK_SLOW)
            self._queue = []
            self._report_start(self._recording.path_of(1))
            _log.error("recording given up: the disk is too slow", **self._whereabouts(), bytes=self._queued_bytes)
            self._report_stop()

    # --- the end ----------------------------------------------------------------------------------

    def _wind_up(self) -> None:
        self._wake.set()

    def abandon(self) -> None:
        """Wait no longer for the disk."""
        self.end("server_stop")
        self._report_stop()

    # --- the greenlet -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._record()
        except Exception:  # noqa: BLE001  an error of ours; the stream goes on
            _log.exception("recording failed", **self._whereabouts())
            self.failure = f"{ERROR}: an error of rtmpd; its log has the traceback"
            self.end(ERROR)
        self._report_stop()

    def _record(self) -> None:
        while not self.reason:
            self._wake.wait()
            self._wake.clear()
            self._write()
        self._write()
        self._note(self._threads.apply(self._recording.close))

    def _write(self) -> None:
        frames, self._queue = self._queue, []
        if frames:
            facts = self._threads.apply(self._recording.write, (frames,))
            self._queued_bytes -= sum(frame.weight for frame in frames)
            self._note(facts)

    def _note(self, facts: list[Fact]) -> None:
        self.bytes_written = self._recording.size
        for fact in facts:
            if isinstance(fact, Opened):
                self._report_start(fact.path)
            elif isinstance(fact, Completed):
                self._report_segment(fact)
            else:
                self._stopped(fact)

    def _stopped(self, fact: Stopped) -> None:
        if fact.reason != MAX_SIZE:
            self.failure = f"{fact.reason}: {fact.message}"
        self.end(fact.reason)
        self.reason = fact.reason  # that the stream ended meanwhile is not why
        self._report_start(fact.path)
        _log.warning("recording ends early", **self._whereabouts(), reason=fact.reason, error=fact.message)

    # --- events and log ---------------------------------------------------------------------------

    def _whereabouts(self) -> dict[str, Any]:
        return {"stream_key": self.stream.key, "session_id": self.session_id, "path": self._path or None}

    def _report_start(self, path: str) -> None:
        if self._path or self._reported:
            return
        self._path = path
        self._opened_at = self._clock.monotonic()
        self._emit(
            "recording_start",
            stream_key=self.stream.key,
            path=path,
            format=self.settings.record_format,
            session_id=self.session_id,
        )
        _log.info("recording started", **self._whereabouts())

    def _report_segment(self, fact: Completed) -> None:
        self._path = fact.path
        is_one_of_many = self.settings.segmented or fact.number > 1 or not fact.is_last
        if is_one_of_many and not self._reported:
            self._emit(
                "segment_complete",
                stream_key=self.stream.key,
                path=fact.path,
                size=fact.size,
                segment_index=fact.number,
                duration_ms=fact.duration_ms,
            )

    def _report_stop(self) -> None:
        """Once; not at all if there was nothing to record."""
        reported, self._reported = self._reported, True
        if reported or not self._path:
            return
        duration = round(self._clock.monotonic() - self._opened_at, 3)
        self._emit(
            "recording_stop",
            stream_key=self.stream.key,
            path=self._path,
            format=self.settings.record_format,
            session_id=self.session_id,
            size=self._recording.size,
            duration_sec=duration,
            reason=self.reason,
        )
        _log.info("recording stopped", **self._whereabouts(), reason=self.reason, duration_sec=duration)

    def facts(self, now: float) -> dict[str, object]:
        """What this recording is at the monotonic time ``now``, for status pages."""
        return {
            "session_id": self.session_id,
            "path": self._path,
            "open": os.path.basename(self._recording.path),
            "age_s": round(now - self._opened_at, 3) if self._path else 0.0,
            "bytes_written": self.bytes_written,
            "queued_bytes": self._queued_bytes,
        }
