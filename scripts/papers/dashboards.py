"""The dashboards as files: Graphite-web's, and Grafana's for Graphite and for Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from .panels import ROWS, Layout, Panel, promql

_WIDTH, _HEIGHT = 8, 8  # of a panel, in the 24 columns of Grafana
_SIZE = {"width": 400, "height": 250}

Json = dict[str, Any]


def graphite(layout: Layout) -> str:
    """The state that Graphite-web's ``/dashboard/save/NAME`` takes."""
    state = {
        "name": "rtmpd",
        "defaultGraphParams": {"from": "-1hours", "until": "now", **_SIZE},
        "refreshConfig": {"enabled": True, "interval": 30000},
        "timeConfig": {"type": "relative", "relativeStartUnits": "hours", "relativeStartQuantity": "1",
                       "relativeUntilUnits": "now", "relativeUntilQuantity": ""},
        "graphSize": _SIZE,
        "graphs": [_graph(panel, layout) for row in ROWS for panel in row.panels],
    }  # fmt: skip
    return _text(state)


def _graph(panel: Panel, layout: Layout) -> list[object]:
    targets = [layout.target(metric, panel.by) for metric in panel.of_catalogue()]
    query = urlencode([*(("target", target) for target in targets), ("title", panel.title), *_SIZE.items()])
    return [query, {"target": targets, "title": panel.title}, f"/render?{query}"]


def grafana_graphite(layout: Layout) -> str:
    """Grafana with Graphite as its source; the servers to show can be chosen."""
    chosen = Layout(layout.prefix, "$host" if layout.host else "", layout.legacy)
    series = f"stats.gauges.{layout.prefix}.*"
    hosts = [_query_variable("graphite", "host", "Server", series, "*")] if layout.host else []

    def targets(panel: Panel) -> Iterator[Json]:
        for metric in panel.of_catalogue():
            yield {"target": chosen.target(metric, panel.by)}

    return _grafana("rtmpd (Graphite)", "rtmpd-graphite", "graphite", hosts, targets)


def grafana_prometheus() -> str:
    """Grafana with Prometheus as its source; the jobs that scrape rtmpd, and their servers, can be chosen."""
    servers = 'label_values(rtmp_build_info{job=~"$job"}, instance)'
    chosen = [
        _query_variable("prometheus", "job", "Job", "label_values(rtmp_build_info, job)", ".*"),
        _query_variable("prometheus", "instance", "Server", servers, ".*"),
    ]
    matching = '{job=~"$job",instance=~"$instance"}'

    def targets(panel: Panel) -> Iterator[Json]:
        many = len(panel.metrics) > 1
        for metric in panel.of_catalogue():
            legend = f"{{{{{panel.by or 'instance'}}}}}" + (f" {metric.family.removeprefix('rtmp_')}" if many else "")
            yield {"expr": promql(metric, panel.by, "$__rate_interval", matching), "legendFormat": legend}

    return _grafana("rtmpd (Prometheus)", "rtmpd-prometheus", "prometheus", chosen, targets)


def _grafana(
    title: str, uid: str, source: str, variables: list[Json], targets: Callable[[Panel], Iterator[Json]]
) -> str:
    own = {"name": "source", "label": "Source", "type": "datasource", "query": source, "hide": 0}
    return _text({
        "title": title,
        "uid": uid,
        "tags": ["rtmpd"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [own, *variables]},
        "panels": list(_panels(source, targets)),
    })


def _panels(source: str, targets: Callable[[Panel], Iterator[Json]]) -> Iterator[Json]:
    id, y = 0, 0
    for row in ROWS:
        id += 1
        place = _place(0, y, 24, 1)
        yield {"id": id, "type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": place}
        y += 1
        for number, panel in enumerate(row.panels):
            id += 1
            line, column = divmod(number * _WIDTH, 24)
            yield {
                "id": id,
                "type": "timeseries",
                "title": panel.title,
                "datasource": {"type": source, "uid": "$source"},
                "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
                "gridPos": _place(column, y + line * _HEIGHT, _WIDTH, _HEIGHT),
                "targets": [{"refId": chr(ord("A") + place), **each} for place, each in enumerate(targets(panel))],
            }
        y += -(-len(row.panels) * _WIDTH // 24) * _HEIGHT


def _place(x: int, y: int, w: int, h: int) -> Json:
    return {"x": x, "y": y, "w": w, "h": h}


def _query_variable(source: str, name: str, label: str, query: str, whole: str) -> Json:
    """A choice that the source offers; ``whole`` is what stands for all of it."""
    return {
        "name": name, "label": label, "type": "query", "query": query, "refresh": 2,
        "multi": True, "includeAll": True, "allValue": whole, "current": {"text": "All", "value": "$__all"},
        "datasource": {"type": source, "uid": "$source"},
    }  # fmt: skip


def _text(content: Json) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
