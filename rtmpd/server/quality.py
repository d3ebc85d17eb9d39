"""The quality of one publish: its messages to the meter, its samples to the monitor, findings out as events."""

from __future__ import annotations

from typing import Final

from ..quality.meter import Meter, Sample, Track
from ..quality.monitor import Monitor
from ..settings import QualitySettings
from .context import Context

_SILENT_MS: Final = 1000
_BATCH: Final = 32  # samples, which only a stream faster than real time brings within a second


class Quality:
    """Judges what is counted in two tracks: about once a second, as samples are cheaper judged together. Settings
    are those of the context, also if they change. ``meter`` takes the messages; its samples come back to ``note``."""

    __slots__ = ("_conn_id", "_context", "_monitor", "_samples", "_settings", "_stream_key", "meter")

    def __init__(self, context: Context, conn_id: str, stream_key: str, audio: Track, video: Track) -> None:
        self._context = context
        self._conn_id = conn_id
        self._stream_key = stream_key
        self._settings = settings = context.quality
        self.meter = Meter(audio, video, int(settings.max_timestamp_jump_s * 1000), settings.forbid_b_frames)
        self._monitor: Monitor | None = None  # from the first sample on: many a publish is over before
        self._samples: list[Sample] = []

    def _follow(self, settings: QualitySettings) -> None:
        self._settings = settings
        self.meter.tune(int(settings.max_timestamp_jump_s * 1000), settings.forbid_b_frames)

    def note(self, sample: Sample) -> None:
        """Take what the meter made of a message that ended a period of media."""
        self._samples.append(sample)
        if len(self._samples) >= _BATCH:
            self.judge()

    def judge(self) -> None:
        """Emit what the samples since the last call show. Called about once a second."""
        if self._settings is not self._context.quality:
            self._follow(self._context.quality)
        if not self._samples:
            return
        if self._monitor is None:
            self._monitor = Monitor()
        for sample in self._samples:
            for finding in self._monitor.judge(sample, self._settings):
                self._context.emit(finding.type, conn_id=self._conn_id, stream_key=self._stream_key, **finding.data)
        self._samples.clear()

    def stop(self) -> None:
        """Judge the last samples; nothing follows."""
        if self._samples:
            self.judge()

    def silent(self, silent_ms: int) -> None:
        """Note that nothing has come for this long."""
        if silent_ms >= _SILENT_MS:
            self.meter.silent(silent_ms)
