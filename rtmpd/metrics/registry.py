"""The values of the metrics: counters and histograms, and collectors that read values from other parts on request.

A counter or histogram of the registry is a dictionary of plain numbers. Most values are not stored here: a collector
reads them from their owners when the metrics are requested, so a value that is never requested costs nothing.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from .catalogue import METRICS
from .kind import BUCKETS_S, COUNTER, HISTOGRAM, Metric

#: Maximum number of label sets of one metric; further ones are counted under ``OTHER``.
MAX_SERIES = 2000
OTHER = "_other"

_SAMPLES = 100  # timings that are kept for StatsD between two flushes, of each label set

Labels = tuple[str, ...]


class Log(Protocol):
    """The logger (``log.Logger``)."""

    def warning(self, message: str, /, **fields: object) -> None: ...

    def exception(self, message: str, /, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Distribution:
    """The content of a histogram: the count of each bucket (not cumulative; the last has no bound), and the sum."""

    buckets: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        return sum(self.buckets)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one metric at the time of reading."""

    name: str
    value: float | Distribution
    labels: Labels = ()


#: Reads values on request.
Collector = Callable[[], Iterable[Reading]]


class Counter:
    """Counts up, by label values in the order of the catalogue. Memory is bounded."""

    __slots__ = ("_metric", "values")

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self.values: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        """Add ``by``."""
        values = self.values
        if labels not in values and len(values) >= MAX_SERIES:
            labels = (OTHER,) * len(labels)
        values[labels] = values.get(labels, 0) + by

    def read(self) -> Iterator[Reading]:
        """Yield the current counts."""
        for labels, value in self.values.items():
            yield Reading(self._metric.name, value, labels)


class Histogram:
    """Durations in seconds, sorted into fixed buckets, by label values. Memory is bounded.

    With ``keeps_samples`` it also keeps samples of the durations for StatsD, until they are taken.
    """

    __slots__ = ("_recent", "_seen", "_sums", "buckets", "keeps_samples", "metric")

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.buckets: dict[Labels, list[int]] = {}
        self.keeps_samples = False
        self._sums: dict[Labels, float] = {}
        self._recent: dict[Labels, list[float]] = {}
        self._seen: dict[Labels, int] = {}

    def observe(self, seconds: float, *labels: str) -> None:
        """Record one duration."""
        buckets = self.buckets.get(labels)
        if buckets is None:
            if len(self.buckets) >= MAX_SERIES:
                labels = (OTHER,) * len(labels)
            buckets = self.buckets.setdefault(labels, [0] * (len(BUCKETS_S) + 1))
        buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + seconds
        if self.keeps_samples:
            self._keep(seconds, labels)

    def _keep(self, seconds: float, labels: Labels) -> None:
        """Sample the durations since the last ``take_samples`` with equal probability (Vitter's algorithm R)."""
        recent = self._recent.setdefault(labels, [])
        seen = self._seen[labels] = self._seen.get(labels, 0) + 1
        if len(recent) < _SAMPLES:
            recent.append(seconds)
        elif (place := random.randrange(seen)) < _SAMPLES:
            recent[place] = seconds

    def take_samples(self) -> dict[Labels, list[float]]:
        """Return the samples since the last call, and forget them."""
        recent, self._recent = self._recent, {}
        self._seen = {}
        return recent

    def read(self) -> Iterator[Reading]:
        """Yield the current distributions."""
        for labels, buckets in self.buckets.items():
            yield Reading(self.metric.name, Distribution(tuple(buckets), self._sums[labels]), labels)


class Registry:
    """All metrics of one daemon. Collectors that fail are logged in ``log``."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._counters: dict[str, Counter] = {}
        self.histograms: dict[str, Histogram] = {}
        self._collectors: list[Collector] = []
        self._failures = self.counter("rtmp_metrics_failures_total")

    def counter(self, name: str) -> Counter:
        """Return the counter of that name, always the same one. Raises KeyError if the catalogue has no such
        counter."""
        metric = _of_kind(name, COUNTER)
        return self._counters.setdefault(name, Counter(metric))

    def histogram(self, name: str) -> Histogram:
        """Return the histogram of that name, always the same one. Raises KeyError if the catalogue has no such
        histogram."""
        metric = _of_kind(name, HISTOGRAM)
        return self.histograms.setdefault(name, Histogram(metric))

    def collect_from(self, collector: Collector) -> None:
        """Add a collector to every later ``read``."""
        self._collectors.append(collector)

    def read(self) -> list[tuple[Metric, list[Reading]]]:
        """Return every metric of the catalogue with its readings (possibly an empty list), in the order of the
        catalogue.

        A failing collector, or a reading that does not fit the catalogue, is logged and counted; the others are read.
        Never raises.
        """
        found: dict[str, list[Reading]] = {name: [] for name in METRICS}
        own: list[Counter | Histogram] = [*self._counters.values(), *self.histograms.values()]
        for collector in [*self._collectors, *(each.read for each in own)]:
            try:
                readings = list(collector())
            except Exception:  # noqa: BLE001  one failing part must not hide the others
                self._failures.add()
                self._log.exception("metrics could not be read")
                continue
            for reading in readings:
                if misfit := _misfit(reading):
                    self._failures.add()
                    self._log.warning("metric left out", metric=reading.name, error=misfit)
                else:
                    found[reading.name].append(reading)
        return [(METRICS[name], readings) for name, readings in found.items()]


def _misfit(reading: Reading) -> str:
    """Return why the reading does not fit the catalogue, "" if it fits."""
    metric = METRICS.get(reading.name)
    if metric is None:
        return "the catalogue has no such metric"
    if len(reading.labels) != len(metric.labels):
        return f"its labels are {metric.labels}, not {reading.labels}"
    if isinstance(reading.value, Distribution) is not (metric.kind == HISTOGRAM):
        return f"it is a {metric.kind}, not {reading.value!r}"
    return ""


def _of_kind(name: str, kind: str) -> Metric:
    metric = METRICS[name]
    if metric.kind != kind:
        raise KeyError(f"{name} is a {metric.kind}")
    return metric
