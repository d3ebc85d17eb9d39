"""``scripts/bench hooks``, small: the real hooks, every event checked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench.hook_check import Checker
from bench.hooks import BEGIN, END, TRIALS
from bench.trials import PROBLEMS
from tests.bench import run

SMALL = ("--rounds", "1", "--events", "300", "--backlog", "600", "--seconds", "0.2", "--rate", "200")


def bodies(*numbers: int) -> list[bytes]:
    return [b'{"stream_key":"live/a","data":{"number":%d,"sent_ns":0}}' % number for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "duplicated", "reordered", "unique"),
    [((1, 2, 3), 0, 0, 3), ((1, 1, 2), 1, 0, 2), ((1, 3, 2), 0, 1, 3), ((1, 3), 0, 0, 2), ((2, 1, 1), 1, 1, 2)],
)
def test_the_checker_tells_loss_order_and_duplicates_apart(
    numbers: tuple[int, ...], duplicated: int, reordered: int, unique: int
) -> None:
    checker = Checker()
    for body in bodies(*numbers):
        checker.take(body)
    figures = checker.figures()
    assert (figures["duplicated"], figures["reordered"], figures["unique"]) == (duplicated, reordered, unique)


def test_every_trial_delivers_each_event_once_in_order_and_writes_its_page(tmp_path: Path) -> None:
    page, output = tmp_path / "page.md", tmp_path / "figures.json"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    command = [sys.executable, "-m", "bench", "hooks", *SMALL, "--markdown", str(page), "--json", str(output)]
    finished = run(command, timeout_s=100)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    measured = json.loads(output.read_text())
    assert measured["problems"] == []
    assert [trial["trial"] for trial in measured["trials"]] == list(TRIALS)
    for trial in measured["trials"]:
        assert tuple(trial["rounds"]) == TRIALS[trial["trial"]].guarantees
        for (figures,) in trial["rounds"].values():
            assert {name: figures.get(name, 0) for name in PROBLEMS} == dict.fromkeys(PROBLEMS, 0)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n")
    assert "old" not in text and "| CPU us/event |" in text
