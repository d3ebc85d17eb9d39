"""docs/metrics.md, made of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator

from rtmpd.metrics.catalogue import GROUPS
from rtmpd.metrics.fault import KINDS
from rtmpd.metrics.kind import BUCKETS_S, LABELS, Group, Metric
from rtmpd.metrics.registry import MOST_SERIES

_HEAD = """\
# Metrics and alerts

Everything that `rtmpd` counts, under one name each, with two ways out: StatsD (and so Graphite), and Prometheus.

## StatsD and Graphite

    [metrics]
    statsd = 127.0.0.1:8125

Every `statsd_interval` one reading is sent, packed into few datagrams, or over TCP with `statsd_protocol = tcp`:
counters as what was added since the last reading, gauges as they are, histograms as timings in milliseconds, of each at
most 100 per reading, chosen at random (their number is therefore that of the samples; the counters have the true
one). If the server cannot be reached, a log line says so, nothing else waits, and the counters are in the next
reading.

The path is `PREFIX.HOST.` and what the tables below say: `rtmpd.media1.hooks.webhook.publish_start.success`. In names
everything but letters, digits, `_` and `-` becomes `_`, and a name is cut at 80 characters. `statsd_host` says what
stands for the machine; let the prefix and the host be one element each, or generate the dashboards anew.

Set `flushInterval` of the StatsD server to the same interval (10 s is its default), and `legacyNamespace: false`: the
dashboards here are for that layout. `percentThreshold` must contain 90, which is its default. Beside
this file's neighbours in `etc/`:

- `etc/graphite/storage-schemas.conf` and `storage-aggregation.conf` go above the defaults of carbon;
- `etc/graphite/dashboard.json` for Graphite-web:
  `curl --data-urlencode state@etc/graphite/dashboard.json http://GRAPHITE/dashboard/save/rtmpd`;
- `etc/grafana/graphite.json` for Grafana.

## Prometheus

`/metrics` of the HTTP listener is the text format 0.0.4, and OpenMetrics 1.0 for who asks for it.
Every metric has its `HELP` and `TYPE` from the start, also before its first sample. `etc/grafana/prometheus.json` is
the dashboard; jobs and servers can be chosen on it. `etc/prometheus/alerts.yml` has alert rules. The job may have any
name, but `RtmpdDown` expects one that contains `rtmpd`: a target that does not answer cannot say what it is.

## Faults

`rtmp_faults` counts what keeps rtmpd from doing its work now; `/health` and `rtmpctl doctor` name each and say what to
do. Those marked * make `/readyz` answer 503, those of events make `hook_manager_status` `degraded`.

{faults}

## Bounds

Labels take only values from bounded sets, and no metric has more than {series} series: what comes later is counted
under `_other`. Names that clients choose are labels in two places only: applications, of which `max_apps` are
distinguished, and streams, with `per_stream = yes` and up to `max_streams` of them.

| label | values |
|---|---|
{labels}
Histograms have the buckets {buckets} seconds.
"""

_ALERTS = """
## Alerts

With `enabled = yes` in [[alerts]](configuration.md#alerts) rtmpd watches itself and tells by events:
[performance_alert](events.md#performance_alert) (CPU, memory, connections, queue depth),
[latency_alert](events.md#latency_alert) (handshake, message, hook, event loop) and
[resource_alert](events.md#resource_alert) (descriptors, disk, backlog and dead letters of hooks). An event comes at the
edges only:

- `state` is `raised` when a value has been at its threshold or over it for `hold`; `severity` is `warning` or
  `critical`. When it goes from one severity to the other it is raised again, with the new one;
- `state` is `cleared` when the value has been under the threshold by `hysteresis` percent for as long; `severity` is
  then the one that the alert had;
- after that it is not raised for `cool_down`, unless it is critical.

CPU is in percent of one processor, because the event loop runs on one; memory in percent of what the control group or
the machine has. `handshake` and `hook` are what 95 % of those in one interval did not exceed. A handshake takes as long
as its client does, so that alert needs slow ones in every interval of `hold`; `hook`, `message` (the longest that it
took to send one round of a publisher's media to all players of the stream) and `hub_lag` (how late the event loop ran a
timer) are remembered for `hold` and one interval, so that each needs to happen only once.
"""


def manual() -> str:
    """docs/metrics.md."""
    labels = "".join(f"| `{label}` | {meaning} |\n" for label, meaning in LABELS.items())
    buckets = ", ".join(f"{bound:g}" for bound in BUCKETS_S)
    faults = "| fault | meaning | what to do |\n|---|---|---|\n" + "".join(
        f"| `{name}`{' *' if kind.unready else ''} | {kind.meaning} | {kind.advice} |\n" for name, kind in KINDS.items()
    )
    head = _HEAD.replace("{labels}", labels).replace("{buckets}", buckets).replace("{series}", str(MOST_SERIES))
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
