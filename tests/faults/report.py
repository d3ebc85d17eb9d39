"""The long run behind ``scripts/reliability``: a table, and the figures section of docs/reliability.md."""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import isolation, power_trials, trials
from .failpoints import FAILPOINTS

Row = tuple[str, str, str, bool]
MARK = "<!-- figures -->"
_HEAD = "| what | how often | what came of it |\n|---|---|---|\n"


def flush_ms(folder: Path, times: int = 200) -> tuple[float, float]:
    """p50 and p99 of writing 4 kB and having it on the disk."""
    spent = []
    with (folder / "flush").open("wb", buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            spent.append(1000 * (time.perf_counter() - began))
    spent.sort()
    return spent[times // 2], spent[int(times * 0.99)]


def _of(trial: trials.Trial) -> Row:
    verdict = trial.verdict
    copies = ", ".join(f"{count} {label}" for label, count in sorted(verdict.copies.items())) or "none"
    words = (
        f"{verdict.accepted} events accepted, {verdict.deliveries} deliveries owed: lost {len(verdict.lost)}, "
        f"unexplained copies {len(verdict.unexplained)}, out of order {len(verdict.disorder)}, bad signatures "
        f"{len(verdict.forged)}, numbers without an end {len(verdict.holes)}; copies that say why: {copies}"
    )
    return trial.name, str(trial.times), words, verdict.is_good


def _power(folder: Path, durability: str, cuts: int) -> Row:
    found = power_trials.run(folder, durability, cuts, seed=7)
    words = (
        f"{found.accepted} events accepted before the cuts: lost {found.lost} (in {found.losing_cuts} cuts, at most "
        f"{found.worst}), unreadable {found.unreadable}; {found.inside_checkpoints} cuts inside a checkpoint"
    )
    good = not found.lost and not found.other_faults if durability == "full" else found.lost > 0
    return f"power cut, durability = {durability}", str(found.cuts), words, good


def _isolation(folder: Path, rounds: int, **sick: int) -> Row:
    found = isolation.measure(folder, rounds, seconds=4.0, lanes=100, rate=2.0, **sick)
    pairs = ", ".join(f"{a:.0f}/{b:.0f}" for a, b in zip(found.alone_ms, found.among_ms, strict=True))
    words = (
        f"p99 of the healthy alone/among, ms: {pairs}; median of the ratios {found.ratio:.2f}, "
        f"of the access callback's {found.asked_ratio:.2f}"
    )
    what = ", ".join(f"{number} {word}" for word, number in sick.items())
    return f"100 lanes, {what}", f"{rounds} rounds", words, found.undelivered == 0


def rows(folder: Path, kills: int, cuts: int, rounds: int) -> Iterator[Row]:
    """One after another, as they are done."""

    def place(name: str) -> Path:
        path = folder / name
        path.mkdir()
        return path

    yield _of(trials.kills(place("kills"), kills, seed=11))
    yield _of(trials.reloads_and_kills(place("reloads"), max(kills // 4, 2), seed=12))
    for name in FAILPOINTS:
        yield _of(trials.failpoint(place(name), name))
    for durability in ("full", "normal"):
        yield _power(place(f"power-{durability}"), durability, cuts)
    if rounds:
        yield _isolation(place("isolation"), rounds, dead=10, drip=10)
        yield _isolation(place("names"), rounds, mute=10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs at random moments (default: %(default)s)")
    parser.add_argument("--cuts", type=int, default=200, help="power cuts of each kind (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of rounds of isolation, 0 is none")
    parser.add_argument("--markdown", type=Path, help="rewrite the figures of this page")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)  # thousands of failures are what is wanted here
    began = time.monotonic()
    table, all_good = _HEAD, True
    with tempfile.TemporaryDirectory(prefix="rtmpd-reliability-") as name:
        p50_ms, p99_ms = flush_ms(Path(name))
        for what, times, words, good in rows(Path(name), asked.kills, asked.cuts, asked.rounds):
            print(f"{'ok ' if good else 'BAD'} {what} ({times}): {words}", flush=True)
            table += f"| {what} | {times} | {words}{'' if good else ' **(bad)**'} |\n"
            all_good = all_good and good
    command = "scripts/reliability " + " ".join(f"--{key} {getattr(asked, key)}" for key in ("kills", "cuts", "rounds"))
    machine = (
        f"`{command}`, {time.strftime('%Y-%m-%d')}, {time.monotonic() - began:.0f} s: {os.cpu_count()} processors, "
        f"load {os.getloadavg()[0]:.1f} at the end, Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}, {platform.system()} {platform.release().split('-')[0]}; 4 kB on the disk: "
        f"p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms.\n"
    )
    print(machine)
    if asked.markdown:
        before, _, rest = asked.markdown.read_text(encoding="utf-8").partition(MARK)
        _, _, after = rest.partition(MARK)
        asked.markdown.write_text(f"{before}{MARK}\n\n{machine}\n{table}\n{MARK}{after}", encoding="utf-8")
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main())
