"""Starts and ends the outputs of all streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

import gevent
from gevent.threadpool import ThreadPool

from ..change import Change
from ..clock import Clock
from ..errors import UrlError
from ..event.event import Emit
from ..log import logger
from ..metrics.fault import RECORDING_FAILED, RELAY_FAILING, Fault
from ..metrics.registry import Reading
from ..net.outgoing import Outgoing
from ..settings import AppsSettings
from ..settings.output import RECORD_OFF
from ..stream.registry import Registry
from ..stream.stream import Stream
from .mp4_file import recover
from .output import Output
from .recorder import Recorder
from .relay import CONNECTED, Relay
from .retention import sweep

_THREADS: Final = 4  # for the files of all recordings; one stuck disk must not take them all
_MAX_LOOKUPS: Final = 32  # of names of destinations, at the same time
_WATCH_PERIOD_S: Final = 1.0
_KEEP_PERIOD_S: Final = 60.0
_CLOSING_S: Final = 3.0

_log = logger("output")
T = TypeVar("T")


@dataclass(slots=True)
class _Totals:
    """The totals of outputs that have ended, for the metrics."""

    recorded_bytes: int = 0
    relayed_bytes: int = 0
    relay_errors: int = 0
    recording_failures: Counter[str] = field(default_factory=Counter)  # by reason


class Outputs:
    """Recorders and relays. ``start`` and ``stop`` once each; ``next_session_id`` gives the ids of their sessions."""

    def __init__(
        self,
        apps: AppsSettings,
        registry: Registry,
        emit: Emit,
        clock: Clock,
        next_session_id: Callable[[], str],
    ) -> None:
        self._apps = apps
        self._emit = emit
        self._clock = clock
        self._next_session_id = next_session_id
        self._threads = ThreadPool(_THREADS)
        self._way = Outgoing(clock, _MAX_LOOKUPS)
        self._recorders: dict[str, Recorder] = {}
        self._relays: dict[tuple[str, str], Relay] = {}
        self._closing: set[Output] = set()
        self._totals = _Totals()
        self._registry = registry
        self._failed: dict[str, str] = {}  # by stream key: why its recording ended early; the stream goes on
        self._watcher: gevent.Greenlet[[], None] | None = None
        self._keeper: gevent.Greenlet[[], None] | None = None
        self.watch_period_s = _WATCH_PERIOD_S
        self.keep_period_s = _KEEP_PERIOD_S
        self._is_at_work = False  # a thread looks through the directories of recordings
        self.stream_end = "unpublished"
        registry.on_start(self.begin)

    def start(self) -> None:
        """Look after the outputs from now on, about once a second."""
        self._watcher = gevent.spawn(self._watch)
        self._watcher.name = "outputs"
        self._keeper = gevent.spawn(self._keep)
        self._keeper.name = "keeper of recordings"

    def _keep(self) -> None:
        """Finish what a crash left in the directories of recordings; then delete, once a minute, what is not kept."""
        try:
            self._finish()
        except Exception:  # noqa: BLE001  what a crash left is no reason to keep everything for ever
            _log.exception("what a crash left of recordings cannot be looked through")
        while True:
            try:
                self._sweep()
            except Exception:  # noqa: BLE001  the next minute is another try
                _log.exception("old recordings cannot be looked through")
            gevent.sleep(self.keep_period_s)

    def _sweep(self) -> None:
        apps = [*self._apps.named]
        if self._apps.default.record != RECORD_OFF:
            apps.append(("", self._apps.default))
        wall = self._clock.wall()
        for found in self._look(sweep, [(name, app) for name, app in apps], wall):
            if isinstance(found, OSError):
                _log.error("a recording cannot be deleted", path=found.filename, error=found)
                continue
            _log.info("recording deleted", path=found.path, size=found.size, rule=found.rule)
            self._emit(
                "recording_deleted",
                path=found.path,
                size=found.size,
                age_sec=round(found.age_s, 3),
                rule=found.rule,
            )

    def _look(self, work: Callable[..., list[T]], *given: object) -> list[T]:
        """Do ``work`` in a thread and wait for it."""
        self._is_at_work = True
        try:
            return self._threads.apply(work, given)
        finally:
            self._is_at_work = False

    def _finish(self) -> None:
        settings = [self._apps.default, *(app for _, app in self._apps.named)]
        for directory in dict.fromkeys(app.record_dir for app in settings if app.record != RECORD_OFF):
            for found in self._look(recover, directory):
                if isinstance(found, OSError):
                    _log.error("a recording that a crash left cannot be finished", path=found.filename, error=found)
                    continue
                duration_s = round(found.duration_ms / 1000, 3)
                _log.warning("recording recovered", path=found.path, duration_sec=duration_s, lost_ms=found.lost_ms)
                self._emit("recording_recovered", path=found.path, duration_sec=duration_s, lost_ms=found.lost_ms)

    def begin(self, stream: Stream) -> None:
        """Begin the outputs of a stream that has a publisher; those that waited for its return go on. Never raises."""
        settings = self._apps.of(stream.app)
        if settings.record != RECORD_OFF and stream.key not in self._recorders:
            session_id = self._next_session_id()
            recorder = Recorder(stream, settings, self._emit, self._clock, self._threads, session_id, self)
            self._recorders[stream.key] = recorder
            self._failed.pop(stream.key, None)
        for template in settings.push:
            if (stream.key, template) not in self._relays:
                self._push(stream, template)

    def _push(self, stream: Stream, template: str) -> None:
        settings = self._apps.of(stream.app)
        try:
            relay = Relay(
                stream, template, settings, self._emit, self._clock, self._next_session_id, self, self._way
            )
        except UrlError as error:
            _log.error("no relay for this stream", stream_key=stream.key, error=error)
            return
        self._relays[stream.key, template] = relay

    def ended(self, output: Output) -> None:
        """An output has left its stream, and closes."""
        if isinstance(output, Recorder):
            del self._recorders[output.stream.key]
            if output.failure:
                self._totals.recording_failures[output.failure.partition(":")[0]] += 1
                self._failed[output.stream.key] = output.failure
        elif isinstance(output, Relay):
            del self._relays[output.stream.key, output.template]
        self._closing.add(output)

    def announce_stop(self) -> None:
        """The server stops: streams that end now end for that."""
        self.stream_end = "server_stop"

    # --- while they run ---------------------------------------------------------------------------

    def _watch(self) -> None:
        while True:
            gevent.sleep(self.watch_period_s)
            now = self._clock.monotonic()
            for relay in tuple(self._relays.values()):
                relay.watch(now)
            self._settle()

    def _settle(self) -> None:
        """Forget those that are closed."""
        for output in tuple(self._closing):
            if output.closed:
                self._closing.discard(output)
                if isinstance(output, Recorder):
                    self._totals.recorded_bytes += output.bytes_written
                elif isinstance(output, Relay):
                    self._totals.relayed_bytes += output.bytes_sent
                    self._totals.relay_errors += output.errors

    def prepare(self, apps: AppsSettings) -> Change:
        """Return the change to these settings. They apply to streams that start from then on; outputs that are not in
        them any more end."""

        def commit() -> None:
            self._apps = apps

        def retire() -> None:
            for recorder in tuple(self._recorders.values()):
                if apps.of(recorder.stream.app).record == RECORD_OFF:
                    recorder.end("config")
            for key in tuple(self._failed):
                stream = self._registry.find(key)
                if stream is not None and apps.of(stream.app).record == RECORD_OFF:
                    del self._failed[key]
            for relay in tuple(self._relays.values()):
                if relay.template not in apps.of(relay.stream.app).push:
                    relay.end("config")

        return Change(commit, retire)

    def stop(self, drain_s: float) -> None:
        """End what is left; let files be closed and destinations get their goodbye. May switch greenlets."""
        self.announce_stop()
        left: list[Output] = [*self._recorders.values(), *self._relays.values()]
        for output in left:
            output.end(self.stream_end)
        deadline = self._clock.monotonic() + max(drain_s, _CLOSING_S)
        for output in tuple(self._closing):
            if not output.join(max(deadline - self._clock.monotonic(), 0.0)):
                output.abandon()
        if self._watcher is not None:
            self._watcher.kill()
        self._settle()
        is_at_work = self._is_at_work
        if self._keeper is not None:
            self._keeper.kill()
        if not is_at_work and not any(isinstance(output, Recorder) for output in self._closing):
            self._threads.kill()  # else a thread hangs in the disk, and ends with the process

    def faults(self) -> Iterator[Fault]:
        """Yield what keeps media from being recorded or relayed now."""
        for key in tuple(self._failed):
            stream = self._registry.find(key)
            if stream is None or not stream.live:
                del self._failed[key]  # what there was to record is over
            else:
                yield Fault(RECORDING_FAILED, key, self._failed[key])
        now = self._clock.monotonic()
        for (key, _), relay in self._relays.items():
            facts = relay.facts(now)
            if facts["attempts"] and facts["state"] != CONNECTED:
                yield Fault(RELAY_FAILING, f"{key} to {facts['destination']}", str(facts["last_error"]))

    def summary(self) -> dict[str, int]:
        """Return how many there are, for status pages."""
        connected = sum(1 for relay in self._relays.values() if relay.state == CONNECTED)
        return {
            "recordings": len(self._recorders),
            "recordings_failed": len(self._failed),
            "relays": len(self._relays),
            "relays_connected": connected,
        }

    # --- what they are ----------------------------------------------------------------------------

    def facts(self, stream_key: str) -> dict[str, list[dict[str, object]]]:
        """The outputs of a stream, for status pages."""
        now = self._clock.monotonic()
        recorder = self._recorders.get(stream_key)
        relays = [relay.facts(now) for (key, _), relay in self._relays.items() if key == stream_key]
        return {"recordings": [recorder.facts(now)] if recorder is not None else [], "relays": relays}

    def read(self) -> Iterator[Reading]:
        """Every metric of the outputs."""
        self._settle()
        recorders = [*self._recorders.values(), *(one for one in self._closing if isinstance(one, Recorder))]
        relays = [*self._relays.values(), *(one for one in self._closing if isinstance(one, Relay))]
        recorded = self._totals.recorded_bytes + sum(recorder.bytes_written for recorder in recorders)
        relayed = self._totals.relayed_bytes + sum(relay.bytes_sent for relay in relays)
        yield Reading("rtmp_recordings", len(self._recorders))
        yield Reading("rtmp_recorded_bytes_total", recorded)
        for reason, count in self._totals.recording_failures.items():
            yield Reading("rtmp_recording_failures_total", count, (reason,))
        errors = self._totals.relay_errors + sum(relay.errors for relay in relays)
        yield Reading("rtmp_relay_errors_total", errors)
        yield Reading("rtmp_relays", len(self._relays))
        yield Reading("rtmp_relays_connected", sum(1 for relay in self._relays.values() if relay.state == CONNECTED))
        yield Reading("rtmp_relayed_bytes_total", relayed)
