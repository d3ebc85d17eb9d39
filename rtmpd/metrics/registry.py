"""The values of the metrics: counted where things happen, or read where they are counted already.

A counter or histogram of the registry is a dictionary of plain numbers. Most values are not here at all: a collector,
called when somebody asks, reads them from the parts that have them, so what nobody asks for costs nothing.
Nothing here switches greenlets.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from .catalogue import METRICS
from .kind import BUCKETS_S, COUNTER, HISTOGRAM, Metric

#: Label sets of one metric; what comes after them is counted under ``OTHER``.
MOST_SERIES = 2000
OTHER = "_other"

_SAMPLES = 100  # timings that are kept for StatsD between two flushes, of each label set

Labels = tuple[str, ...]


class Log(Protocol):
    """Where trouble is logged (``log.Logger``)."""

    def warning(self, message: str, /, **fields: object) -> None: ...

    def exception(self, message: str, /, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a histogram has seen: in each bucket (not cumulated; the last is without an upper bound), and in all."""

    buckets: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        return sum(self.buckets)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one metric at the moment of the reading."""

    name: str
    value: float | Distribution
    labels: Labels = ()


#: Reads values when it is asked.
Collector = Callable[[], Iterable[Reading]]


class Counter:
    """Counts up, by label values in the order of the catalogue. Memory is bounded."""

    __slots__ = ("_metric", "values")

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self.values: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        """Count ``by`` more."""
        values = self.values
        if labels not in values and len(values) >= MOST_SERIES:
            labels = (OTHER,) * len(labels)
        values[labels] = values.get(labels, 0) + by

    def read(self) -> Iterator[Reading]:
        """The counts as they are now."""
        for labels, value in self.values.items():
            yield Reading(self._metric.name, value, labels)


class Histogram:
    """Durations in seconds, sorted into fixed buckets, by label values. Memory is bounded.

    With ``keeps_samples`` some of the durations themselves are kept for StatsD, until they are taken.
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
        """Note one duration."""
        buckets = self.buckets.get(labels)
        if buckets is None:
            if len(self.buckets) >= MOST_SERIES:
                labels = (OTHER,) * len(labels)
            buckets = self.buckets.setdefault(labels, [0] * (len(BUCKETS_S) + 1))
        buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + seconds
        if self.keeps_samples:
            self._keep(seconds, labels)

    def _keep(self, seconds: float, labels: Labels) -> None:
        """Each duration since the last taking has the same chance to be among the samples (Vitter's algorithm R)."""
        recent = self._recent.setdefault(labels, [])
        seen = self._seen[labels] = self._seen.get(labels, 0) + 1
        if len(recent) < _SAMPLES:
            recent.append(seconds)
        elif (place := random.randrange(seen)) < _SAMPLES:
            recent[place] = seconds

    def take_samples(self) -> dict[Labels, list[float]]:
        """The samples since the last call."""
        recent, self._recent = self._recent, {}
        self._seen = {}
        return recent

    def read(self) -> Iterator[Reading]:
        """The distributions as they are now."""
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
        """The counter of that name, the same at each call. Raises KeyError if the catalogue has none."""
        metric = _of_kind(name, COUNTER)
        return self._counters.setdefault(name, Counter(metric))

    def histogram(self, name: str) -> Histogram:
        """The histogram of that name, the same at each call. Raises KeyError if the catalogue has none."""
        metric = _of_kind(name, HISTOGRAM)
        return self.histograms.setdefault(name, Histogram(metric))

    def collect_from(self, collector: Collector) -> None:
        """Ask ``collector`` too from now on."""
        self._collectors.append(collector)

    def read(self) -> list[tuple[Metric, list[Reading]]]:
        """Return every metric of the catalogue with its readings, which may be none yet, in the catalogue's order.

        A collector that fails, and a reading that the catalogue does not allow, is logged and counted; the others are
        read all the same. Never raises.
        """
        found: dict[str, list[Reading]] = {name: [] for name in METRICS}
        own: list[Counter | Histogram] = [*self._counters.values(), *self.histograms.values()]
        for collector in [*self._collectors, *(each.read for each in own)]:
            try:
                readings = list(collector())
            except Exception:  # noqa: BLE001  one part's trouble must not hide all others
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
    """Return what the catalogue has against the reading, "" if nothing."""
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
