"""The bench itself, small: the real daemon, three players, every message checked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.events import SINKS
from bench.report import BEGIN, END, Group
from bench.servers import NGINX, RTMPD, RTMPD_FLUSH
from bench.trials import PROBLEMS, SETS, TRIALS
from tests.bench import run

PLAYERS = 3


def bench(directory: Path, *arguments: str) -> dict[str, Any]:
    """Run the bench on rtmpd alone and return what it measured, by trial."""
    output = directory / "figures.json"
    command = [
        sys.executable,
        "-m",
        "bench",
        *arguments,
        "--only",
        "rtmpd",
        "--rounds",
        "1",
        "--json",
        str(output),
    ]
    finished = run(command, timeout_s=100)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    measured = json.loads(output.read_text())
    assert measured["problems"] == []
    return {trial["trial"]: trial["rounds"] for trial in measured["trials"]}


def test_no_message_is_lost_reordered_or_corrupt_with_any_flush_policy(tmp_path: Path) -> None:
    rounds = bench(tmp_path, "fanout", "--players", str(PLAYERS), "--seconds", "1")["fanout"]
    assert list(rounds) == [contender.name for contender in RTMPD_FLUSH.values()]
    for (figures,) in rounds.values():
        assert figures["sent"] > 0
        assert figures["verified"] == PLAYERS * figures["sent"]
        assert {name: figures[name] for name in PROBLEMS} == dict.fromkeys(PROBLEMS, 0)


def test_the_delay_of_events_is_measured_at_every_sink(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "events", "--players", "3", "--seconds", "1", "--json", str(output)]
    finished = run(command, timeout_s=100)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    figures = json.loads(output.read_text())
    assert figures["events"] > 50
    assert all(figures[f"{sink} p50 ms"] > -1 and not figures[f"{sink} missing"] for sink in SINKS)


def test_every_other_trial_measures_something_and_writes_its_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    trials = ("ingest", "maxrate", "handshakes", "monitor", "monitor-live")
    small = ("--seconds", "0.3", "--markdown", str(page))
    measured = bench(tmp_path, *trials, *small)
    assert tuple(measured) == trials
    for rounds in measured.values():
        (figures,) = rounds[RTMPD.name]
        assert figures["failed"] == 0
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n")
    assert "old" not in text and "| MB/CPU-s |" in text


def test_many_small_streams_and_short_sessions_are_measured_together(tmp_path: Path) -> None:
    small = ("--seconds", "0.3", "--streams", "3x2,2x1", "--publishers", "3", "--idle-players", "5")
    measured = bench(tmp_path, "streams", *small)
    assert tuple(measured) == SETS["streams"]
    for rounds in measured.values():
        (figures,) = rounds[RTMPD.name]
        assert {name: figures.get(name, 0) for name in PROBLEMS} == dict.fromkeys(PROBLEMS, 0)
    (live,) = measured["live"][RTMPD.name]
    assert live["verified"] == live["sent"] > 0  # one player of each stream


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    group = Group(TRIALS["churn"], "churn")
    group.rounds = {
        RTMPD.name: [{"CPU ms/session": figure} for figure in (1.0, 4.0, 9.0)],
        NGINX.name: [{"CPU ms/session": figure} for figure in (1.0, 2.0, 3.0)],
    }
    assert group.ratio(RTMPD.name, "CPU ms/session") == 2.0
    del group.rounds[NGINX.name][0]  # a round that failed: no pairs any more
    assert group.ratio(RTMPD.name, "CPU ms/session") == 4.0 / 2.5


@pytest.mark.parametrize("size", ["50", "x1", "0x1", "5x0", "5xx", "a,b"])
def test_a_size_that_is_not_streams_and_players_is_an_error_of_usage(size: str) -> None:
    finished = run([sys.executable, "-m", "bench", "streams", "--streams", size], timeout_s=30)
    assert finished.returncode == 2 and "--streams" in finished.stderr


def test_a_bench_that_hangs_is_killed_with_all_that_it_has_started() -> None:
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run(["sh", "-c", "sleep 60 & sleep 60"], timeout_s=0.5)
    assert time.monotonic() - began < 30
