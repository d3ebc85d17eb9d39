"""The table of metrics keeps its own rules, and the specified names are in it as specified."""

from __future__ import annotations

import re

import pytest

from rtmpd.metrics.catalogue import GROUPS, METRICS
from rtmpd.metrics.kind import BUCKETS_S, COUNTER, HISTOGRAM, LABELS, Metric

EVERY = pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)


@pytest.mark.parametrize(
    ("name", "kind", "labels"),
    [
        ("rtmp_hook_executions_total", COUNTER, ("hook_type", "event_type", "status")),
        ("rtmp_hook_execution_duration_seconds", HISTOGRAM, ("hook_type", "event_type")),
        ("rtmp_events_generated_total", COUNTER, ("event_type",)),
        ("rtmp_events_filtered_total", COUNTER, ("filter_type", "reason")),
    ],
)
def test_the_specified_metrics_are_as_specified(name: str, kind: str, labels: tuple[str, ...]) -> None:
    assert (METRICS[name].kind, METRICS[name].labels) == (kind, labels)


def test_no_name_is_given_twice() -> None:
    assert len(METRICS) == sum(len(group.metrics) for group in GROUPS)


@EVERY
def test_a_name_fits_the_formats_and_says_whether_it_counts(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == COUNTER)
    assert metric.kind != HISTOGRAM or metric.unit == "seconds"
    assert metric.help and not metric.help.endswith(".")


@EVERY
def test_a_path_holds_only_labels_of_its_metric(metric: Metric) -> None:
    assert set(metric.path_labels()) <= set(metric.labels)
    assert all(re.fullmatch(r"[a-z_]+|\{\w+\}", part) for part in metric.path.split(".") if part)


def test_no_path_is_the_folder_of_another_one() -> None:
    """In a tree of names a leaf that is a folder too cannot be told from it: StatsD makes ``a.count`` of a counter
    ``a``, beside whatever is in ``a``."""
    paths = [metric.path for metric in METRICS.values() if metric.path]
    assert len(set(paths)) == len(paths)
    for kind in (COUNTER, HISTOGRAM, "gauge"):
        own = [re.sub(r"\{\w+\}", "*", metric.path).split(".") for metric in METRICS.values() if metric.kind == kind]
        for one in own:
            for other in own:
                assert one is other or len(one) >= len(other) or other[: len(one)] != one, (one, other)


@EVERY
def test_every_label_is_explained(metric: Metric) -> None:
    assert set(metric.labels) <= set(LABELS)


def test_buckets_rise() -> None:
    assert list(BUCKETS_S) == sorted(set(BUCKETS_S))
