"""The parts of the catalogue of metrics: kinds, labels and groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

COUNTER = "counter"
GAUGE = "gauge"
HISTOGRAM = "histogram"

#: Upper bounds of the buckets of a histogram in seconds; the last bucket has no bound.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: The values of each label, and why their number is bounded.
LABELS: Mapping[str, str] = MappingProxyType({
    "app": "application: those in the configuration, then the first ones in use, up to `max_apps`, then `_other`",
    "event_type": "an [event type](events.md)",
    "fault": "kind of fault, see [Faults](#faults)",
    "filter_type": "`event_type`, `severity`, `stream_pattern`, `condition` or `rate_limit`",
    "generation": "`0`, `1` or `2`",
    "hook_id": "name of the hook",
    "hook_type": "`shell` (a script), `worker`, `webhook`, `plugin`, `stdio` or the type of a registered hook",
    "metric": "the value that an alert watches",
    "outcome": "`success`, `timeout`, `http_3xx`, `http_4xx`, `http_5xx`, `exit` (a status other than 0), `signal`, "
    "`not_sent`, `error` (network and all other errors) or `bug`",
    "reason": "`event_type`, `severity`, `stream_pattern`, `condition`, `missing_field` or `rate_limit`; for dead "
    "letters `refused`, `attempts`, `expired`, `disabled` or `bug`; for recordings `disk_full`, `disk_slow` or `error`",
    "result": "`ok` or `failed`",
    "state": "`active`, `retrying`, `tripped`, `paused` or `disabled`",
    "status": "`success` or `failure`",
    "stream_key": "application and stream name; the oldest streams, up to `max_streams`",
    "version": "version of rtmpd",
})

_IN_BRACES = re.compile(r"\{(\w+)\}")
_UNITS = ("seconds", "bytes", "ratio", "percent")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``name`` is its name in Prometheus. ``path`` is its StatsD path below the prefix, with labels in
    braces, or "" if it is not sent to StatsD. A label that the path lacks is summed over."""

    name: str
    kind: str
    help: str
    path: str
    labels: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The name without ``_total``, as OpenMetrics calls the family."""
        return self.name.removesuffix("_total") if self.kind == COUNTER else self.name

    @property
    def unit(self) -> str:
        """``seconds``, ``bytes``, ``ratio`` or ``percent``; "" for a plain count."""
        return next((unit for unit in _UNITS if self.family.endswith(f"_{unit}")), "")

    def path_labels(self) -> Iterator[str]:
        """The labels that the path holds, in its order."""
        return iter(_IN_BRACES.findall(self.path))


@dataclass(frozen=True, slots=True)
class Group:
    """The metrics of one subject, under one heading of the documentation."""

    title: str
    metrics: tuple[Metric, ...]


def counter(name: str, help: str, path: str, *labels: str) -> Metric:
    return Metric(name, COUNTER, help, path, labels)


def gauge(name: str, help: str, path: str, *labels: str) -> Metric:
    return Metric(name, GAUGE, help, path, labels)


def histogram(name: str, help: str, path: str, *labels: str) -> Metric:
    return Metric(name, HISTOGRAM, help, path, labels)
