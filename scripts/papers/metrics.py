"""docs/metrics.md, made of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator

from rtmpd.metrics.catalogue import GROUPS
from rtmpd.metrics.fault import KINDS
from rtmpd.metrics.kind import BUCKETS_S, LABELS, Group, Metric
from rtmpd.metrics.registry import MAX_SERIES

_HEAD = """\
# Metrics and alerts

`rtmpd` exports its metrics in two ways: StatsD (and so Graphite), and Prometheus. Each metric has one name in both.

## StatsD and Graphite

    [metrics]
    statsd = 127.0.0.1:8125

Every `statsd_interval` rtmpd sends one report, packed into few datagrams, or over TCP with `statsd_protocol = tcp`.
Counters are sent as the increase since the last report, gauges as their value, and histograms as timings in
milliseconds. A histogram sends at most 100 random samples per report, so its count is that of the samples; use the
counters for totals. If the server cannot be reached, that is logged, nothing is delayed, and the next report contains
the missed increases.

The path is `PREFIX.HOST.` followed by the path in the tables below: `rtmpd.media1.hooks.webhook.publish_start.success`.
In names every character except letters, digits, `_` and `-` becomes `_`, and a name is cut at 80 characters.
`statsd_host` sets the element for the machine. If the prefix or the host has more than one element, generate the
dashboards again.

Set `flushInterval` of the StatsD server to the same interval (its default is 10 s), and `legacyNamespace: false`,
because the dashboards expect that layout. `percentThreshold` must contain 90, which is its default. The other files are
in `etc/`:

- `etc/graphite/storage-schemas.conf` and `storage-aggregation.conf` go above the defaults of carbon;
- `etc/graphite/dashboard.json` for Graphite-web:
  `curl --data-urlencode state@etc/graphite/dashboard.json http://GRAPHITE/dashboard/save/rtmpd`;
- `etc/grafana/graphite.json` for Grafana.

## Prometheus

`/metrics` of the HTTP listener answers in text format 0.0.4, or in OpenMetrics 1.0 if the client asks for it. Every
metric has its `HELP` and `TYPE` from the start, even before its first sample. `etc/grafana/prometheus.json` is the
dashboard, with selectors for jobs and servers. `etc/prometheus/alerts.yml` has alert rules. The job may have any name,
but `RtmpdDown` expects a name that contains `rtmpd`, because a target that does not answer cannot be recognised in any
other way.

## Faults

`rtmp_faults` counts the current faults; `/health` and `rtmpctl doctor` list each with its remedy. Faults marked * make
`/readyz` answer 503. Faults in the delivery of events make `hook_manager_status` `degraded`.

{faults}

## Bounds

Labels have bounded sets of values, and no metric has more than {series} series; further values are counted under
`_other`. Names that clients choose are labels in two places only: applications, up to `max_apps` of them, and streams,
with `per_stream = yes`, up to `max_streams` of them.

| label | values |
|---|---|
{labels}
Histograms have the buckets {buckets} seconds.
"""

_ALERTS = """
## Alerts

With `enabled = yes` in [[alerts]](configuration.md#alerts) rtmpd watches itself and emits these events:
[performance_alert](events.md#performance_alert) (CPU, memory, connections, queue depth),
[latency_alert](events.md#latency_alert) (handshake, message, hook, event loop) and
[resource_alert](events.md#resource_alert) (descriptors, disk, backlog and dead letters of hooks). An event is emitted
only when the state changes:

- `state` is `raised` when a value has been at or above its threshold for `hold`; `severity` is `warning` or `critical`.
  When the severity changes, the alert is raised again with the new one;
- `state` is `cleared` when the value has been below the threshold by `hysteresis` percent for `hold`; `severity` is
  then the highest that the alert had;
- after that the alert is not raised again for `cool_down`, unless it is critical.

CPU is in percent of one processor, because the event loop runs on one. Memory is in percent of the memory of the
control group or the machine. `handshake` and `hook` are the 95th percentiles of one interval. A slow client makes a
slow handshake, so that alert needs slow handshakes in every interval of `hold`. `hook`, `message` (the longest time it
took to send one round of a publisher's media to all players of the stream) and `hub_lag` (how late the event loop ran a
timer) are remembered for `hold` plus one interval, so a single occurrence is enough.
"""


def manual() -> str:
    """docs/metrics.md."""
    labels = "".join(f"| `{label}` | {meaning} |\n" for label, meaning in LABELS.items())
    buckets = ", ".join(f"{bound:g}" for bound in BUCKETS_S)
    faults = "| fault | meaning | what to do |\n|---|---|---|\n" + "".join(
        f"| `{name}`{' *' if kind.unready else ''} | {kind.meaning} | {kind.advice} |\n" for name, kind in KINDS.items()
    )
    head = _HEAD.replace("{labels}", labels).replace("{buckets}", buckets).replace("{series}", str(MAX_SERIES))
    head = head.replace("{faults}\n", faults)
    return head + "".join(line for group in GROUPS for line in _group(group)) + _ALERTS


def _group(group: Group) -> Iterator[str]:
    yield f"\n## {group.title}\n\n| Prometheus | kind | StatsD | meaning |\n|---|---|---|---|\n"
    for metric in group.metrics:
        yield f"| {_name(metric)} | {metric.kind} | {_path(metric)} | {metric.help} |\n"


def _name(metric: Metric) -> str:
    labels = "{" + ",".join(metric.labels) + "}" if metric.labels else ""
    return f"`{metric.name}{labels}`"


def _path(metric: Metric) -> str:
    return f"`{metric.path}`" if metric.path else ""
