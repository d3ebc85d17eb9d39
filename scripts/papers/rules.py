"""Files of rules: how Graphite stores the metrics, and when Prometheus alerts."""

from __future__ import annotations

from dataclasses import dataclass

from rtmpd.metrics.fault import HOOK_BEHIND, HOOK_HELD_UP, KINDS

_SCHEMAS = r"""# How long Graphite stores the metrics of rtmpd; for carbon's storage-schemas.conf, above its defaults.
# The first retention must be the interval at which StatsD sends (flushInterval), which is 10 s by default.

[{prefix}]
pattern = ^stats(_counts)?\.((gauges|counters|timers)\.)?{pattern}\.
retentions = 10s:6h,1m:7d,10m:1y
"""

_AGGREGATION = """# How Graphite aggregates the metrics of rtmpd for its longer retentions; for carbon's
# storage-aggregation.conf, above its defaults. Without it counters would be averaged.
"""

#: Name, pattern and method; the first whose pattern is found in a name holds. ``@`` stands for the prefix.
_WAYS = (
    ("count", r"^stats_counts\.@\.|\.@\..*\.count(_ps)?$", "sum"),
    ("lower", r"\.@\..*\.(lower|min)(_\d+)?$", "min"),
    ("upper", r"\.@\..*(\.(upper|max)(_\d+)?|_max)$", "max"),
    ("gauges", r"^stats\.gauges\.@\.", "last"),
    ("rest", r"^stats\.((counters|timers)\.)?@\.", "average"),
)


def storage_schemas(prefix: str) -> str:
    """etc/graphite/storage-schemas.conf."""
    return _SCHEMAS.replace("{prefix}", prefix).replace("{pattern}", prefix.replace(".", r"\."))


def storage_aggregation(prefix: str) -> str:
    """etc/graphite/storage-aggregation.conf."""
    own = prefix.replace(".", r"\.")
    sections = [
        f"\n[{prefix}_{name}]\npattern = {pattern.replace('@', own)}\nxFilesFactor = 0\naggregationMethod = {method}\n"
        for name, pattern, method in _WAYS
    ]
    return _AGGREGATION + "".join(sections)


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert rule of Prometheus. ``lasts`` is for how long ``expr`` must hold."""

    alert: str
    expr: str
    lasts: str
    severity: str
    summary: str


#: Every exporter has ``process_*``; ours are those of a target that has this too, whatever its job is called.
_OURS = "and on (job, instance) rtmp_build_info"

_NAMED_BY_HOOK = (HOOK_HELD_UP, HOOK_BEHIND)  # RtmpdHookDown and RtmpdHookBehind also say which hook


def _of_faults() -> tuple[Rule, ...]:
    """A rule for each kind of fault."""
    return tuple(
        Rule(
            "Rtmpd" + "".join(word.capitalize() for word in name.split("_")),
            f'rtmp_faults{{fault="{name}"}} > 0',
            kind.lasts,
            kind.severity,
            f"{kind.meaning} ({{{{ $value }}}})",
        )
        for name, kind in KINDS.items()
        if name not in _NAMED_BY_HOOK
    )


RULES = (
    *_of_faults(),
    Rule("RtmpdDown", "up{job=~\".*rtmpd.*\"} == 0", "1m", "critical", "rtmpd does not answer"),
    Rule("RtmpdRestarted", f"changes(process_start_time_seconds[15m]) > 0 {_OURS}", "0m", "warning",
         "rtmpd was restarted"),
    Rule("RtmpdAlert", "rtmp_alert_level == 1", "0m", "warning", "rtmpd reports a warning: {{ $labels.metric }}"),
    Rule("RtmpdAlertCritical", "rtmp_alert_level >= 2", "0m", "critical",
         "rtmpd reports a critical alert: {{ $labels.metric }}"),
    Rule("RtmpdEventLoopLate", "rtmp_hub_lag_max_seconds > 0.5", "2m", "warning", "the event loop is late"),
    Rule("RtmpdFramesDropped", "rate(rtmp_frames_dropped_total[5m]) > 50", "5m", "warning",
         "frames are dropped for players that are too slow"),
    Rule("RtmpdDescriptorsShort", f"process_open_fds / process_max_fds > 0.9 {_OURS}", "5m", "critical",
         "more than 90 % of the descriptors are open"),
    Rule("RtmpdHookDown", "max by (instance, hook_id) (rtmp_hook_state{state=~\"tripped|disabled\"}) == 1", "5m",
         "warning", "hook {{ $labels.hook_id }} cannot reach its endpoint"),
    Rule("RtmpdHookBehind", "rtmp_hook_oldest_age_seconds > 300", "5m", "warning",
         "an event has waited for hook {{ $labels.hook_id }} for more than five minutes"),
    Rule("RtmpdEventsDropped", "increase(rtmp_hook_dropped_total[10m]) > 0", "0m", "critical",
         "events for hook {{ $labels.hook_id }} were dropped because its queue or the event store was full"),
    Rule("RtmpdRecordingsFail", "increase(rtmp_recording_failures_total[10m]) > 0", "0m", "critical",
         "recordings ended early ({{ $labels.reason }})"),
    Rule("RtmpdDeadLetters", "increase(rtmp_hook_dead_letters_total[10m]) > 0", "0m", "warning",
         "hook {{ $labels.hook_id }} has dead letters ({{ $labels.reason }})"),
    Rule("RtmpdHooksFail",
         "sum by (instance, hook_type) (rate(rtmp_hook_executions_total{status=\"failure\"}[10m])) > "
         "0.1 * sum by (instance, hook_type) (rate(rtmp_hook_executions_total[10m]))", "10m", "warning",
         "more than a tenth of the executions of {{ $labels.hook_type }} hooks fail"),
)  # fmt: skip


def alert_rules() -> str:
    """etc/prometheus/alerts.yml."""
    lines = ["# Alert rules of Prometheus for rtmpd; name the file in rule_files."]
    lines += ["groups:", "  - name: rtmpd", "    rules:"]
    for rule in RULES:
        lines += [
            f"      - alert: {rule.alert}",
            f"        expr: {_quoted(rule.expr)}",
            f"        for: {rule.lasts}",
            "        labels:",
            f"          severity: {rule.severity}",
            "        annotations:",
            f"          summary: {_quoted(rule.summary)}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A YAML string in single quotes."""
    return "'" + text.replace("'", "''") + "'"
