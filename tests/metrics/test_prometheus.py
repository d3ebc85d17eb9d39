"""The text formats, read back by the parsers of the official client."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from rtmpd.metrics import prometheus
from rtmpd.metrics.catalogue import METRICS
from rtmpd.metrics.kind import COUNTER, HISTOGRAM
from rtmpd.metrics.registry import Reading, Registry
from tests.support.metrics import registry

BOTH = pytest.mark.parametrize("openmetrics", [False, True])
HOSTILE = ['a"b', "a\\b", "a\nb", "\\n", "", "é", "a}b", "x,y=1", "\U0001f600", "\\\\\"\n"]


def parsed(registry: Registry, openmetrics: bool) -> dict[str, Any]:
    page = prometheus.render(registry, openmetrics).decode()
    read = openmetrics_parser if openmetrics else parser
    return {family.name: family for family in read.text_string_to_metric_families(page)}


def everything() -> Registry:
    """A registry with a value for each metric of the catalogue."""
    full = registry()
    gauges = []
    for metric in METRICS.values():
        labels = tuple(f"of-{label}" for label in metric.labels)
        if metric.kind == COUNTER:
            full.counter(metric.name).add(*labels, by=3)
        elif metric.kind == HISTOGRAM:
            full.histogram(metric.name).observe(0.02, *labels)
        else:
            gauges.append(Reading(metric.name, 1.5, labels))
    full.collect_from(lambda: gauges)
    return full


@BOTH
def test_every_metric_is_read_back_with_its_kind_help_and_labels(openmetrics: bool) -> None:
    families = parsed(everything(), openmetrics)
    assert set(families) == {metric.family for metric in METRICS.values()}
    for metric in METRICS.values():
        family = families[metric.family]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert family.unit == (metric.unit if openmetrics else "")
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)


@BOTH
def test_every_metric_has_its_help_and_type_before_its_first_sample(openmetrics: bool) -> None:
    families = parsed(registry(), openmetrics)
    assert {(family.name, family.type) for family in families.values()} == {
        (metric.family, metric.kind) for metric in METRICS.values()
    }
    page = prometheus.render(registry(), openmetrics).decode()
    for name in ("rtmp_hook_executions_total", "rtmp_hook_execution_duration_seconds", "rtmp_events_filtered_total"):
        assert f"# HELP {METRICS[name].family if openmetrics else name} " in page


@BOTH
def test_a_histogram_is_cumulated_and_ends_with_its_count(openmetrics: bool) -> None:
    full = registry()
    for seconds in (0.002, 0.02, 100.0):
        full.histogram("rtmp_hub_lag_seconds").observe(seconds)
    samples = {
        (s.name, s.labels.get("le")): s.value for s in parsed(full, openmetrics)["rtmp_hub_lag_seconds"].samples
    }
    assert samples["rtmp_hub_lag_seconds_bucket", "0.001"] == 0
    assert samples["rtmp_hub_lag_seconds_bucket", "0.0025"] == 1
    assert samples["rtmp_hub_lag_seconds_bucket", "30.0"] == 2
    assert samples["rtmp_hub_lag_seconds_bucket", "+Inf"] == samples["rtmp_hub_lag_seconds_count", None] == 3
    assert samples["rtmp_hub_lag_seconds_sum", None] == pytest.approx(100.022)


@BOTH
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_label_values_are_read_back_as_they_were(text: str, openmetrics: bool) -> None:
    full = registry()
    full.counter("rtmp_events_generated_total").add(text)
    (sample,) = parsed(full, openmetrics)["rtmp_events_generated"].samples
    assert (sample.labels, sample.value) == ({"event_type": text}, 1)


@given(st.text(), st.text())
def test_any_label_values_are_read_back_and_never_make_another_line(one: str, other: str) -> None:
    full = registry()
    full.counter("rtmp_events_filtered_total").add(one, other)
    (sample,) = parsed(full, True)["rtmp_events_filtered"].samples
    clean = [text.encode("utf-8", "replace").decode() for text in (one, other)]
    assert [sample.labels["filter_type"], sample.labels["reason"]] == clean


@pytest.mark.parametrize(
    ("value", "text"), [(5, "5"), (0.5, "0.5"), (float("nan"), "NaN"), (float("inf"), "+Inf"), (-1, "-1")]
)
def test_numbers_are_written_as_the_formats_want(value: float, text: str) -> None:
    full = registry()
    full.collect_from(lambda: [Reading("rtmp_connections", value)])
    assert f"\nrtmp_connections {text}\n".encode() in prometheus.render(full)


def test_only_openmetrics_has_an_end() -> None:
    assert prometheus.render(everything(), openmetrics=True).endswith(b"\n# EOF\n")
    assert b"EOF" not in prometheus.render(everything())


def test_the_first_format_names_a_counter_with_its_suffix_and_the_second_without() -> None:
    assert b"# TYPE rtmp_events_generated_total counter\n" in prometheus.render(everything())
    assert b"# TYPE rtmp_events_generated counter\n" in prometheus.render(everything(), openmetrics=True)


ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5"


@pytest.mark.parametrize(("accept", "openmetrics"), [(ACCEPT, True), ("text/html", False), ("", False)])
def test_who_asks_for_openmetrics_gets_it(accept: str, openmetrics: bool) -> None:
    assert prometheus.wants_openmetrics(accept) is openmetrics
    kind = "application/openmetrics-text; version=1." if openmetrics else "text/plain; version=0.0.4"
    assert prometheus.content_type(openmetrics).startswith(kind)
