"""Counting, and reading what is counted elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rtmpd.metrics import prometheus
from rtmpd.metrics.kind import BUCKETS_S
from rtmpd.metrics.registry import MAX_SERIES, OTHER, Distribution, Reading, Registry
from rtmpd.monitor.statsd import Payload
from tests.support.metrics import Log, registry

EVENTS = "rtmp_events_generated_total"
DURATION = "rtmp_handshake_duration_seconds"


def values(registry: Registry, name: str) -> dict[tuple[str, ...], float | Distribution]:
    return {r.labels: r.value for metric, readings in registry.read() for r in readings if metric.name == name}


def test_a_counter_counts_by_labels() -> None:
    counted = registry()
    counter = counted.counter(EVENTS)
    counter.add("a")
    counter.add("a", by=2)
    counted.counter(EVENTS).add("b")
    assert values(counted, EVENTS) == {("a",): 3, ("b",): 1}


def test_a_counter_with_too_many_series_counts_the_rest_as_others() -> None:
    counted = registry()
    for number in range(MAX_SERIES + 10):
        counted.counter(EVENTS).add(str(number))
    found = values(counted, EVENTS)
    assert len(found) == MAX_SERIES + 1 and found[OTHER,] == 10
    counted.counter(EVENTS).add("0")
    assert values(counted, EVENTS)["0",] == 2


def test_a_histogram_with_too_many_series_counts_the_rest_as_others() -> None:
    counted = registry()
    for number in range(MAX_SERIES + 10):
        counted.histogram("rtmp_hook_delivery_latency_seconds").observe(1.0, str(number))
    other = values(counted, "rtmp_hook_delivery_latency_seconds")[OTHER,]
    assert isinstance(other, Distribution) and other.count == 10


def test_a_duration_falls_into_the_bucket_whose_bound_it_does_not_pass() -> None:
    counted = registry()
    for seconds in (0.001, 0.0011, 30.0, 31.0):
        counted.histogram(DURATION).observe(seconds)
    found = values(counted, DURATION)[()]
    assert isinstance(found, Distribution)
    assert found.buckets[:2] == (1, 1) and found.buckets[-2:] == (1, 1)
    assert (found.count, len(found.buckets)) == (4, len(BUCKETS_S) + 1)
    assert found.sum == pytest.approx(61.0021)


def test_samples_are_kept_only_when_they_are_wanted_and_never_more_than_a_hundred() -> None:
    histogram = registry().histogram(DURATION)
    histogram.observe(1.0)
    assert histogram.take_samples() == {}
    histogram.keeps_samples = True
    for number in range(1000):
        histogram.observe(float(number))
    taken = histogram.take_samples()[()]
    assert len(taken) == 100 and max(taken) > 100
    assert histogram.take_samples() == {}


@pytest.mark.parametrize("name", ["rtmp_nothing_total", "rtmp_connections"])
def test_what_the_catalogue_does_not_have_as_a_counter_can_not_be_counted(name: str) -> None:
    with pytest.raises(KeyError):
        registry().counter(name)


def test_what_others_count_is_read_when_somebody_asks() -> None:
    counted, now = registry(), [1]
    counted.collect_from(lambda: [Reading("rtmp_connections", now[0])])
    assert values(counted, "rtmp_connections") == {(): 1}
    now[0] = 5
    assert values(counted, "rtmp_connections") == {(): 5}


def test_a_collector_that_fails_is_counted_and_hides_no_other() -> None:
    def fails() -> Iterator[Reading]:
        yield Reading("rtmp_streams", 1)
        raise OSError("no")

    log = Log()
    counted = Registry(log)
    counted.collect_from(fails)
    counted.collect_from(lambda: [Reading("rtmp_connections", 1)])
    assert values(counted, "rtmp_connections") == {(): 1}
    assert values(counted, "rtmp_metrics_failures_total") == {(): 2}
    assert values(counted, "rtmp_streams") == {}
    assert len(log.lines) == 3


def test_readings_come_in_the_order_of_the_catalogue() -> None:
    counted = registry()
    counted.collect_from(lambda: [Reading("process_threads", 1), Reading("rtmp_connections", 1)])
    assert [metric.name for metric, readings in counted.read() if readings] == ["rtmp_connections", "process_threads"]


@pytest.mark.parametrize(
    "misfit",
    [
        Reading("rtmp_not_there", 1),
        Reading("rtmp_connections", 1, ("a label too many",)),
        Reading("rtmp_hook_state", 1, ("a label too few",)),
        Reading("rtmp_connections", Distribution((1,), 1.0)),
        Reading(DURATION, 1.0),
    ],
)
def test_a_reading_that_the_catalogue_does_not_know_hides_no_other(misfit: Reading) -> None:
    log = Log()
    counted = Registry(log)
    counted.collect_from(lambda: [misfit, Reading("rtmp_streams", 7)])
    counted.collect_from(lambda: [Reading("rtmp_publishers", 3)])
    assert b"\nrtmp_streams 7\n" in (page := prometheus.render(counted)) and b"\nrtmp_publishers 3\n" in page
    assert values(counted, "rtmp_metrics_failures_total") and len(log.lines) == 2
    assert "streams" in Payload(counted, {}).gauges


def test_a_counter_that_is_used_with_other_labels_hides_no_other() -> None:
    counted = registry()
    counted.counter(EVENTS).add("a", "b")
    counted.counter(EVENTS).add("c")
    assert values(counted, EVENTS) == {("c",): 1}
