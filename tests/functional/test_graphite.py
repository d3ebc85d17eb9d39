"""The daemon's metrics in a real Graphite: every target of the dashboards that come with rtmpd draws something."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional import graphite
from tests.functional.graphite import Graphite
from tests.functional.harness import Daemon
from tests.support.child import REPOSITORY, Child, free_port, is_listening, rtmpd
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(bool(graphite.missing()), reason=f"not on this machine: {graphite.missing()}")

SAMPLE = REPOSITORY / "rtmpd/data/sample.flv"
ENDPOINT = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
    def log_message(self, *arguments):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
INI = """
[metrics]
statsd = 127.0.0.1:{statsd}
statsd_host = web.1
statsd_interval = 1s
[hooks]
[[office]]
type = webhook
url = http://127.0.0.1:{endpoint}/
max_attempts = 2
initial_delay = 10ms
guarantee_level = at-least-once
[[choosy]]
type = webhook
url = http://127.0.0.1:{endpoint}/
min_severity = critical
[store]
path = {home}/events.db
[apps]
record = all
record_dir = {home}/recordings
record_path = {{app}}/{{name}}.flv
"""


def dashboard() -> Any:
    return json.loads((REPOSITORY / "etc/graphite/dashboard.json").read_text())


def grafana() -> list[str]:
    """The targets of Grafana's dashboard, with its variable at ``All``."""
    panels = json.loads((REPOSITORY / "etc/grafana/graphite.json").read_text())["panels"]
    return [target["target"].replace("$host", "*") for panel in panels for target in panel.get("targets", ())]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graphite]:
    with Graphite(tmp_path_factory.mktemp("graphite")) as running:
        yield running


def test_every_target_draws_and_a_dead_endpoint_is_seen(server: Graphite, tmp_path: Path) -> None:
    port = free_port()
    endpoint = Child([sys.executable, "-c", ENDPOINT, str(port)], tmp_path / "endpoint")
    wait_until(lambda: is_listening(port), "the endpoint listens")
    outcomes = "groupByNode(stats.counters.rtmpd.web_1.lanes.office.attempts.*.count,7,'sum')"
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "live").touch()  # no folder can be made here: recordings fail
    with Daemon(tmp_path, ini=INI.format(statsd=server.statsd, endpoint=port, home=tmp_path)) as daemon:
        publish = Child(rtmpd("publish", "--loop", str(SAMPLE), daemon.url("live/demo")), tmp_path / "publish")
        play = Child(rtmpd("play", "-o", str(tmp_path / "out.flv"), daemon.url("live/demo")), tmp_path / "play")
        with publish, play:
            wait_until(lambda: names(server, outcomes) == {"success"}, "deliveries are drawn", 30.0)
            endpoint.close()
            with Child(rtmpd("play", "-o", str(tmp_path / "b.flv"), daemon.url("live/demo")), tmp_path / "b"):
                wait_until(lambda: names(server, outcomes) == {"success", "error"}, "failures are drawn too", 30.0)
                wait_until(lambda: not silent(server), "every target draws", 40.0)
            state = server.render("stats.gauges.rtmpd.web_1.players")
            assert max(server.values(state[0])) == 2
    assert not silent(server)


def names(server: Graphite, target: str) -> set[str]:
    return {series["target"] for series in server.render(target)}


def silent(server: Graphite) -> list[str]:
    """The targets that draw nothing."""
    targets = {target for _, graph, _ in dashboard()["graphs"] for target in graph["target"]} | set(grafana())
    assert len(targets) > 25
    return [target for target in sorted(targets) if not server.render(target)]


def test_lines_are_named_after_what_they_are(server: Graphite) -> None:
    by_title = {graph["title"]: graph["target"] for _, graph, _ in dashboard()["graphs"]}
    assert names(server, by_title["Connections"][0]) == {"web_1.connections"}
    assert names(server, by_title["Players"][0]) == {"live"}
    assert "publish_start" in names(server, by_title["Events"][0])
    assert names(server, by_title["Executions by status"][0]) >= {"success", "failure"}
    assert names(server, by_title["Backlog"][0]) == {"office", "choosy", "stdio"}
    assert names(server, by_title["CPU"][0]) == {"web_1.process.cpu_percent"}


def test_graphite_takes_the_dashboard_as_it_is(server: Graphite) -> None:
    text = (REPOSITORY / "etc/graphite/dashboard.json").read_text()
    assert server.save_dashboard("rtmpd", text)["graphs"] == dashboard()["graphs"]


def test_what_is_stored_is_summed_up_as_the_file_says(server: Graphite) -> None:
    whisper = server.home / "storage/whisper/stats"
    kept = {
        "gauges/rtmpd/web_1/connections.wsp": b"last",
        "counters/rtmpd/web_1/bytes_in/count.wsp": b"sum",
        "counters/rtmpd/web_1/bytes_in/rate.wsp": b"average",
        "timers/rtmpd/web_1/handshake/upper_90.wsp": b"max",
        "timers/rtmpd/web_1/handshake/lower.wsp": b"min",
    }
    methods = {1: b"average", 2: b"sum", 3: b"last", 4: b"max", 5: b"min"}
    found = {name: methods[int.from_bytes((whisper / name).read_bytes()[:4])] for name in kept}
    assert found == kept
