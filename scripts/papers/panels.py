"""What the dashboards show: one list of panels, for Graphite and for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rtmpd.metrics.catalogue import METRICS
from rtmpd.metrics.kind import COUNTER, GAUGE, HISTOGRAM, Metric

QUANTILE = 0.95  # of what Prometheus is asked for
STATSD_PERCENT = 90  # StatsD computes the percentiles of its percentThreshold only, and this is its default


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph. ``by`` is the label that tells its lines apart, "" for one line per server. ``unit`` is Grafana's
    name of the unit."""

    title: str
    unit: str
    metrics: tuple[str, ...]
    by: str = ""

    def of_catalogue(self) -> Iterator[Metric]:
        """Its metrics."""
        return (METRICS[name] for name in self.metrics)


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


ROWS = (
    Row("Server", (
        Panel("Connections", "short", ("rtmp_connections", "rtmp_players", "rtmp_publishers")),
        Panel("Traffic", "Bps", ("rtmp_received_bytes_total", "rtmp_sent_bytes_total")),
        Panel("New connections", "cps", ("rtmp_connections_accepted_total",)),
        Panel("Frames dropped and waiting", "short", ("rtmp_frames_dropped_total", "rtmp_queued_frames")),
        Panel("Event loop lag, longest", "s", ("rtmp_hub_lag_max_seconds", "rtmp_message_delay_max_seconds")),
        Panel("Handshake", "s", ("rtmp_handshake_duration_seconds",)),
    )),
    Row("Applications", (
        Panel("Players", "short", ("rtmp_app_players",), "app"),
        Panel("Streams that are published", "short", ("rtmp_app_publishers",), "app"),
        Panel("Bytes sent", "Bps", ("rtmp_app_sent_bytes_total",), "app"),
    )),
    Row("Health", (
        Panel("Faults", "short", ("rtmp_faults",), "fault"),
        Panel("Events that wait for the event store", "short", ("rtmp_store_staged_events",)),
        Panel("Event store, used and limit", "bytes", ("rtmp_store_used_bytes", "rtmp_store_limit_bytes")),
    )),
    Row("Outputs", (
        Panel("Recordings and relays", "short", ("rtmp_recordings", "rtmp_relays", "rtmp_relays_connected")),
        Panel("Bytes recorded and relayed", "Bps", ("rtmp_recorded_bytes_total", "rtmp_relayed_bytes_total")),
        Panel("Failures of recordings and relays", "cps",
              ("rtmp_recording_failures_total", "rtmp_relay_errors_total")),
    )),
    Row("Events and hooks", (
        Panel("Events", "cps", ("rtmp_events_generated_total",), "event_type"),
        Panel("Executions by status", "cps", ("rtmp_hook_executions_total",), "status"),
        Panel("Events filtered", "cps", ("rtmp_events_filtered_total",), "reason"),
        Panel("Duration of executions", "s", ("rtmp_hook_execution_duration_seconds",), "hook_type"),
        Panel("Backlog", "short", ("rtmp_hook_backlog",), "hook_id"),
        Panel("Oldest event that waits", "s", ("rtmp_hook_oldest_age_seconds",), "hook_id"),
        Panel("Time to delivery", "s", ("rtmp_hook_delivery_latency_seconds",), "hook_id"),
        Panel("Tries by outcome", "cps", ("rtmp_hook_attempts_total",), "outcome"),
        Panel("Dead letters", "cps", ("rtmp_hook_dead_letters_total",), "hook_id"),
        Panel("Dropped events", "cps", ("rtmp_hook_dropped_total",), "hook_id"),
    )),
    Row("Process", (
        Panel("CPU", "percent", ("rtmp_process_cpu_percent", "rtmp_machine_cpu_percent")),
        Panel("Memory", "bytes", ("process_resident_memory_bytes",)),
        Panel("Open descriptors", "short", ("process_open_fds", "process_max_fds")),
        Panel("Threads", "short", ("process_threads",)),
        Panel("Alerts: 1 warning, 2 critical", "short", ("rtmp_alert_level",), "metric"),
    )),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a StatsD server puts what it is sent. ``host`` "" is for a path without it; ``legacy`` is the layout of a
    StatsD whose ``graphite.legacyNamespace`` was not set to false."""

    prefix: str = "rtmpd"
    host: str = "*"
    legacy: bool = False

    @property
    def base(self) -> str:
        """What comes before the path of a metric."""
        return f"{self.prefix}.{self.host}" if self.host else self.prefix

    def series(self, metric: Metric) -> str:
        """The series of a metric, with ``*`` for its labels: a counter's is its rate, a timer's the quantile."""
        path = f"{self.base}.{metric.path.format_map(dict.fromkeys(metric.labels, '*'))}"
        if metric.kind == GAUGE:
            return f"stats.gauges.{path}"
        if metric.kind == HISTOGRAM:
            return f"stats.timers.{path}.upper_{STATSD_PERCENT}"
        return f"stats.{path}" if self.legacy else f"stats.counters.{path}.rate"

    def target(self, metric: Metric, by: str) -> str:
        """What Graphite is to draw, a line for each value of the label ``by``, else one for each server."""
        series = self.series(metric)
        if metric.kind == HISTOGRAM:
            series = f"scale({series},0.001)"
        if by:
            callback = "max" if metric.kind == HISTOGRAM else "sum"
            return f"groupByNode({series},{self._node(metric, by)},'{callback}')"
        first = len(self.base.split(".")) + self._ahead(metric)
        nodes = range(first - bool(self.host), first + len(metric.path.split(".")))
        return f"aliasByNode({series},{','.join(map(str, nodes))})"

    def _ahead(self, metric: Metric) -> int:
        """How many nodes come before the prefix."""
        return 1 if metric.kind == COUNTER and self.legacy else 2

    def _node(self, metric: Metric, label: str) -> int:
        place = metric.path.split(".").index(f"{{{label}}}")
        return self._ahead(metric) + len(self.base.split(".")) + place


def promql(metric: Metric, by: str, window: str, matching: str = "") -> str:
    """Return what Prometheus is asked for: as ``Layout.target``, with ``window`` as the range of rates. ``matching``
    are label matchers in braces; without them ``process_*`` would be those of every exporter."""
    labels = by or "instance"
    if metric.kind == HISTOGRAM:
        rate = f"rate({metric.name}_bucket{matching}[{window}])"
        return f"histogram_quantile({QUANTILE}, sum by (le, {labels}) ({rate}))"
    if metric.kind == COUNTER:
        return f"sum by ({labels}) (rate({metric.name}{matching}[{window}]))"
    return f"sum by ({labels}) ({metric.name}{matching})"
