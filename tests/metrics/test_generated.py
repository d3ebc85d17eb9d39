"""What is generated from the catalogue: dashboards, storage rules, alert rules and the page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from rtmpd.metrics import prometheus
from rtmpd.metrics.catalogue import METRICS
from rtmpd.metrics.kind import HISTOGRAM, LABELS
from scripts.papers import dashboards, rules
from scripts.papers import metrics as manual
from scripts.papers.panels import ROWS, Layout, promql
from tests.metrics.test_prometheus import everything

PANELS = [panel for row in ROWS for panel in row.panels]
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool; on Debian it is in prometheus")


def promtool(*arguments: str, given: bytes = b"") -> str:
    """What promtool says, with its exit status at the end."""
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, timeout=60)
    return f"{(done.stdout + done.stderr).decode()}{done.returncode}"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_shows_metrics_that_statsd_has_by_a_label_that_they_have(panel: object) -> None:
    for metric in panel.of_catalogue():  # type: ignore[attr-defined]
        assert metric.path
        assert panel.by in ("", *metric.path_labels())  # type: ignore[attr-defined]


def test_what_is_specified_is_on_the_dashboards() -> None:
    shown = {name for panel in PANELS for name in panel.metrics}
    assert {
        "rtmp_hook_executions_total", "rtmp_hook_execution_duration_seconds", "rtmp_events_generated_total",
        "rtmp_events_filtered_total", "rtmp_hub_lag_max_seconds", "rtmp_hook_backlog", "rtmp_connections",
    } <= shown  # fmt: skip


def test_targets_follow_the_layout_of_the_statsd_server() -> None:
    count, gauge, timer = (
        METRICS[f"rtmp_{name}"] for name in ("sent_bytes_total", "streams", "handshake_duration_seconds")
    )
    own = Layout("a.b", "web1")
    assert own.series(count) == "stats.counters.a.b.web1.bytes_out.rate"
    assert own.series(gauge) == "stats.gauges.a.b.web1.streams"
    assert own.series(timer) == "stats.timers.a.b.web1.handshake.upper_90"
    assert own.target(gauge, "") == "aliasByNode(stats.gauges.a.b.web1.streams,4,5)"
    old = Layout("a.b", "", legacy=True)
    assert old.series(count) == "stats.a.b.bytes_out"
    assert old.target(count, "") == "aliasByNode(stats.a.b.bytes_out,3)"
    status = METRICS["rtmp_hook_executions_total"]
    assert old.target(status, "status") == "groupByNode(stats.a.b.hooks.*.*.*,6,'sum')"


def test_the_graphite_dashboard_asks_for_what_its_targets_say() -> None:
    state = json.loads(dashboards.graphite(Layout()))
    assert len(state["graphs"]) == len(PANELS)
    for query, graph, url in state["graphs"]:
        assert parse_qs(query)["target"] == graph["target"] and url == f"/render?{query}"


@pytest.mark.parametrize("text", [dashboards.grafana_graphite(Layout()), dashboards.grafana_prometheus()])
def test_panels_of_grafana_neither_overlap_nor_share_an_id(text: str) -> None:
    panels = json.loads(text)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == len(PANELS) + len(ROWS)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not own & taken and place["x"] + place["w"] <= 24
        taken |= own


def test_a_grafana_without_hosts_has_no_choice_of_them() -> None:
    variables = [v["name"] for v in json.loads(dashboards.grafana_graphite(Layout(host="")))["templating"]["list"]]
    assert variables == ["source"]
    assert '"stats.gauges.rtmpd.*"' in dashboards.grafana_graphite(Layout())


NAME = re.compile(r"\b(?:rtmp|process|python)_[a-z_]+\b")


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.alert)
def test_an_alert_rule_names_metrics_that_there_are(rule: rules.Rule) -> None:
    assert set(NAME.findall(rule.expr)) <= set(METRICS)
    assert rule.alert == "RtmpdDown" or NAME.search(rule.expr)
    of = {label for name in NAME.findall(rule.expr) for label in METRICS[name].labels} | {"instance"}
    assert set(re.findall(r"\$labels\.(\w+)", rule.summary)) <= of


def test_what_every_exporter_has_is_asked_of_rtmpd_only() -> None:
    """Beside a node_exporter a panel of ``process_open_fds`` would show that one's too."""
    panels = json.loads(dashboards.grafana_prometheus())
    asked = [each["expr"] for panel in panels["panels"] for each in panel.get("targets", [])]
    assert asked and all('{job=~"$job",instance=~"$instance"}' in expr for expr in asked)
    assert [each["name"] for each in panels["templating"]["list"]] == ["source", "job", "instance"]
    for rule in rules.RULES:
        assert "process_" not in rule.expr or rule.expr.endswith("and on (job, instance) rtmp_build_info")


def test_graphite_is_asked_for_the_percentile_that_statsd_computes_by_default() -> None:
    """percentThreshold of StatsD is [90]: https://github.com/statsd/statsd/blob/master/docs/metric_types.md#timing"""
    for text in (dashboards.graphite(Layout()), dashboards.grafana_graphite(Layout())):
        assert set(re.findall(r"upper_(\d+)", text)) == {"90"}


@needs_promtool
def test_promtool_accepts_the_alert_rules(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yml"
    file.write_text(rules.alert_rules())
    said = promtool("check", "rules", str(file))
    assert f"SUCCESS: {len(rules.RULES)} rules found" in said and said.endswith("0"), said


@needs_promtool
def test_promtool_has_nothing_against_the_page() -> None:
    assert promtool("check", "metrics", given=prometheus.render(everything())) == "0"


@needs_promtool
def test_promtool_understands_what_the_dashboard_asks(tmp_path: Path) -> None:
    asked = [promql(metric, panel.by, "5m") for panel in PANELS for metric in panel.of_catalogue()]
    lines = ["groups:", "- name: asked", "  rules:"]
    for number, expr in enumerate(asked):
        lines += [f"  - record: asked:{number}", f"    expr: {json.dumps(expr)}"]
    file = tmp_path / "asked.yml"
    file.write_text("\n".join(lines))
    said = promtool("check", "rules", str(file))
    assert f"{len(asked)} rules found" in said and said.endswith("0"), said


# --- carbon -------------------------------------------------------------------------------------


def sections(text: str) -> list[tuple[str, dict[str, str]]]:
    """The sections of a file of carbon, in order."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        if line.startswith("["):
            found.append((line.strip("[]"), {}))
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[-1][1][key.strip()] = value.strip()
    return found


def method_of(name: str, prefix: str) -> str:
    """How carbon would sum up this series: the first section whose pattern is found in its name."""
    matching = (own for _, own in sections(rules.storage_aggregation(prefix)) if re.search(own["pattern"], name))
    return next((own["aggregationMethod"] for own in matching), "")


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("stats.counters.rtmpd.web1.bytes_in.count", "sum"),
        ("stats.counters.rtmpd.web1.bytes_in.rate", "average"),
        ("stats_counts.rtmpd.web1.bytes_in", "sum"),
        ("stats.rtmpd.web1.bytes_in", "average"),
        ("stats.gauges.rtmpd.web1.connections", "last"),
        ("stats.gauges.rtmpd.web1.hub_lag_max", "max"),
        ("stats.timers.rtmpd.web1.handshake.upper_95", "max"),
        ("stats.timers.rtmpd.web1.handshake.lower", "min"),
        ("stats.timers.rtmpd.web1.handshake.count", "sum"),
        ("stats.timers.rtmpd.web1.handshake.mean", "average"),
        ("stats.gauges.other.web1.connections", ""),
        ("servers.rtmpd.count", ""),
    ],
)
def test_each_series_is_summed_up_in_its_own_way_and_those_of_others_are_left_alone(name: str, method: str) -> None:
    assert method_of(name, "rtmpd") == method


def test_a_prefix_of_several_parts_is_no_pattern() -> None:
    assert method_of("stats.gauges.a.b.web1.connections", "a.b") == "last"
    assert method_of("stats.gauges.axb.web1.connections", "a.b") == ""


def test_the_schemas_keep_what_statsd_makes_of_every_metric() -> None:
    ((_, schema),) = sections(rules.storage_schemas("rtmpd"))
    for metric in METRICS.values():
        if metric.path:
            for layout in (Layout(), Layout(legacy=True)):
                assert re.search(schema["pattern"], layout.series(metric))
    assert not re.search(schema["pattern"], "carbon.agents.rtmpd.x")
    assert schema["retentions"].startswith("10s:")


# --- the page -----------------------------------------------------------------------------------


def test_the_page_tells_every_metric_and_label() -> None:
    page = manual.manual()
    for metric in METRICS.values():
        assert f"| `{metric.name}" in page and metric.help in page
        assert not metric.path or f"| `{metric.path}` |" in page
    assert all(f"| `{label}` |" in page for label in LABELS)


def test_every_label_that_is_explained_is_used() -> None:
    assert {label for metric in METRICS.values() for label in metric.labels} == set(LABELS)


def test_timers_are_few_for_each_makes_dozens_of_files() -> None:
    """StatsD makes some two dozen series of a timer, and a label in its path multiplies them."""
    timers = [metric for metric in METRICS.values() if metric.kind == HISTOGRAM]
    assert len(timers) <= 6
    assert all(len(list(metric.path_labels())) <= 1 for metric in timers)
