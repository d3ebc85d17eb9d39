"""The metrics as a page: the text format 0.0.4 of Prometheus, and OpenMetrics 1.0."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate

from .kind import BUCKETS_S, Metric
from .registry import Distribution, Reading, Registry

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
_OPEN_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_BOUNDS = (*(repr(bound) for bound in BUCKETS_S), "+Inf")


def content_type(openmetrics: bool) -> str:
    """The Content-Type of what ``render`` returns."""
    return OPENMETRICS_CONTENT_TYPE if openmetrics else CONTENT_TYPE


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header asks for OpenMetrics, as Prometheus itself does."""
    return "application/openmetrics-text" in accept.lower()


def render(registry: Registry, openmetrics: bool = False) -> bytes:
    """Return the page: every metric of the catalogue with its help and type, even before its first sample, so that
    authors of queries find it. Never raises."""
    lines = [line for metric, readings in registry.read() for line in _family(metric, readings, openmetrics)]
    if openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _family(metric: Metric, readings: Iterable[Reading], openmetrics: bool) -> Iterator[str]:
    name = metric.family if openmetrics else metric.name
    yield f"# HELP {name} {metric.help.translate(_OPEN_HELP_ESCAPES if openmetrics else _HELP_ESCAPES)}"
    yield f"# TYPE {name} {metric.kind}"
    if openmetrics and metric.unit:
        yield f"# UNIT {name} {metric.unit}"
    for reading in readings:
        labels = [f'{label}="{_escaped(value)}"' for label, value in zip(metric.labels, reading.labels, strict=True)]
        if isinstance(reading.value, Distribution):
            yield from _distribution(metric.name, labels, reading.value)
        else:
            yield f"{metric.name}{_in_braces(labels)} {_number(reading.value)}"


def _distribution(name: str, labels: list[str], value: Distribution) -> Iterator[str]:
    for bound, count in zip(_BOUNDS, accumulate(value.buckets), strict=True):
        yield f"{name}_bucket{_in_braces([*labels, f'le={chr(34)}{bound}{chr(34)}'])} {count}"
    yield f"{name}_sum{_in_braces(labels)} {_number(value.sum)}"
    yield f"{name}_count{_in_braces(labels)} {value.count}"


def _escaped(value: str) -> str:
    return value.translate(_OPEN_HELP_ESCAPES)


def _in_braces(labels: list[str]) -> str:
    return "{" + ",".join(labels) + "}" if labels else ""


def _number(value: float) -> str:
    if math.isfinite(value):
        return str(value) if isinstance(value, int) else repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
