"""Connects the parts of this room: the registry of metrics, their export, the file systems and the monitor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from .. import __version__
from ..change import Change
from ..clock import Clock
from ..event.event import Emit
from ..log import logger
from ..metrics import prometheus
from ..metrics.fault import KINDS, Fault
from ..metrics.registry import Reading, Registry
from ..metrics.window import Peak
from ..settings import AlertSettings, Levels, MetricsSettings
from .disks import Disks
from .lag import LagMeter
from .monitor import Monitor, Sources, peak_window_s
from .statsd import StatsdPusher, totals
from .system import System

_CPU_S = 1.0
_OF_THE_LIMIT = Levels(0.80, 0.95)


class Instruments:
    """``registry`` has the metrics, ``lag`` measures how late the event loop is. ``start`` and ``stop`` once each;
    ``watch`` before ``start``.

    ``data_dirs`` returns the directories of the event store and of recordings, whose file systems are always watched;
    ``record_dirs`` those of recordings.
    """

    def __init__(
        self,
        metrics: MetricsSettings,
        alerts: AlertSettings,
        clock: Clock,
        data_dirs: Callable[[], Iterable[str]] = tuple,
        record_dirs: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._metrics = metrics
        self._alerts = alerts
        self._clock = clock
        self._monitor: Monitor | None = None
        self._pusher: StatsdPusher | None = None
        self._peaks: list[Peak] = []
        self._faults: list[Callable[[], Iterable[Fault]]] = []
        self.disks = Disks(lambda: [*self._alerts.disk_paths, *data_dirs()], record_dirs)
        self.faults_from(self.disks.faults)
        self.registry = Registry(logger("metrics"))
        self.system = System(clock, min(_CPU_S, alerts.interval_s))
        self.lag = LagMeter(clock, self.registry.histogram("rtmp_hub_lag_seconds"), self.peak())
        self.registry.collect_from(self.system.read)
        self.registry.collect_from(self._own)

    def peak(self) -> Peak:
        """Return a new peak whose values are kept for as long as the monitor needs them."""
        self._peaks.append(Peak(self._clock, peak_window_s(self._alerts)))
        return self._peaks[-1]

    def faults_from(self, source: Callable[[], Iterable[Fault]]) -> None:
        """Add a source of current faults."""
        self._faults.append(source)

    def faults(self) -> list[Fault]:
        """Return the current faults, worst first."""
        order = list(KINDS)
        found = [fault for source in self._faults for fault in source()]
        return sorted(found, key=lambda fault: order.index(fault.kind))

    def watch(self, sources: Sources, emit: Emit, most_connections: int) -> None:
        """Let the monitor watch ``sources``; ``most_connections`` is the limit on connections (0: none)."""
        self._monitor = Monitor(
            _with_limits(self._alerts, most_connections), sources, self.system, self.disks, emit, self._clock
        )
        self.registry.collect_from(self._monitor.read)

    def prepare(self, metrics: MetricsSettings, alerts: AlertSettings, most_connections: int) -> Change:
        """Prepare a change to these settings (``change``)."""
        metrics_differ = metrics != self._metrics

        def commit() -> None:
            self._metrics = metrics
            self._alerts = alerts
            for peak in self._peaks:
                peak.window_s = peak_window_s(alerts)

        def retire() -> None:
            if metrics_differ:
                self._push_elsewhere()
            assert self._monitor is not None
            self._monitor.stop()
            self._monitor.configure(_with_limits(alerts, most_connections))
            if alerts.enabled:
                self._monitor.start()

        return Change(commit, retire)

    def start(self) -> None:
        """Start to measure, to send and to watch."""
        self.lag.start()
        self.disks.start()
        self._start_pushing()
        if self._monitor is not None and self._alerts.enabled:
            self._monitor.start()

    def _start_pushing(self, sent: Mapping[str, float] | None = None) -> None:
        if self._metrics.statsd is not None:
            self._pusher = StatsdPusher(self._metrics, self.registry, self._clock, logger("metrics"), sent=sent)
            self._pusher.start()

    def _push_elsewhere(self) -> None:
        """Start a new pusher where the last one ended, so that nothing is counted twice."""
        old = self._pusher
        self._stop_pushing()
        self._start_pushing(totals(self.registry) if old is None else old.sent)

    def _stop_pushing(self) -> None:
        if self._pusher is not None:
            self._pusher.stop()
            self._pusher = None

    def stop_watching(self) -> None:
        """Stop the alerts before the server stops, because the shutdown itself would trigger them. May switch."""
        if self._monitor is not None:
            self._monitor.stop()

    def stop(self) -> None:
        """Send the metrics for the last time and stop. May switch."""
        self.stop_watching()
        self.disks.stop()
        self._stop_pushing()
        self.lag.stop()

    def render(self, openmetrics: bool = False) -> bytes:
        """Return the page for Prometheus. Never raises."""
        return prometheus.render(self.registry, openmetrics)

    def _own(self) -> Iterator[Reading]:
        yield Reading("rtmp_build_info", 1, (__version__,))
        yield Reading("rtmp_hub_lag_max_seconds", self.lag.peak.value())
        counts = Counter(fault.kind for fault in self.faults())
        for kind in KINDS:
            yield Reading("rtmp_faults", counts[kind], (kind,))


def _with_limits(settings: AlertSettings, most_connections: int) -> AlertSettings:
    """Fill in thresholds for connections as shares of the limit, unless they are set."""
    if settings.connections is not None:
        return settings
    limits = Levels(_OF_THE_LIMIT.warning * most_connections, _OF_THE_LIMIT.critical * most_connections)
    return replace(settings, connections=limits)
