"""``scripts/bench hooks``: how many events the hooks accept and deliver, at what delay and at what cost.

The daemon's half (``hook_driver``) has one processor, the receivers (``hook_sink``, ``hook_worker``) another. What
arrives is checked: every event once, and those of a stream in their order.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import report
from .audience import Figures, percentile_ms
from .hook_job import Job
from .process import end
from .servers import ROOT, ServerFailed

BEGIN = "<!-- bench hooks: begin -->"
END = "<!-- bench hooks: end -->"
EX_PROBLEMS = 1
PATIENCE_S = 900.0
SLOW_MS = 250
SHARES = (0, 1, 5, 20)  # percent of the answers that are 503
NONE = "none"
AT_LEAST_ONCE = "at-least-once"
BOTH = (NONE, AT_LEAST_ONCE)
WORKER = """\
#!{python}
import os, sys
sys.path.insert(0, {root!r})
os.sched_setaffinity(0, {{{cpu}}})
from pathlib import Path
from bench.hook_worker import work
work(Path({figures!r}))
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How large and how long. ``events`` is for the trials that go as fast as they can, ``seconds`` for the others."""

    events: int = 30_000
    backlog: int = 1_000_000
    seconds: float = 10.0
    rate: int = 1000


@dataclass(frozen=True, slots=True)
class HookTrial:
    """``wanted`` are the figures that were aimed at: the least, or the most where it is negative."""

    name: str
    title: str
    run: Callable[[Bench, str], Figures]
    columns: tuple[str, ...]
    wanted: dict[str, float]
    guarantees: tuple[str, ...] = BOTH
    compared: tuple[str, ...] = ()
    subject: str = "guarantee"


class Bench:
    """One trial: its directory, the receiver, and the driver on the first processor. Use it with ``with``."""

    def __init__(self, size: Size, cpus: Sequence[int]) -> None:
        self.size = size
        self._cpus = cpus
        self._sink: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Bench:
        self.directory = tempfile.mkdtemp(prefix="rtmpd-bench-", dir="/var/tmp")  # a disk: /tmp may be memory
        return self

    def __exit__(self, *exception: object) -> None:
        if self._sink is not None:
            end(self._sink)
        shutil.rmtree(self.directory, ignore_errors=True)

    @contextmanager
    def another(self, path: str) -> Iterator[Bench]:
        """A bench of its own within this trial, with a receiver at ``url``."""
        with Bench(self.size, self._cpus) as bench:
            bench.url = bench.sink(path)
            yield bench

    def sink(self, path: str = "/") -> str:
        """Start the receiver; its URL."""
        command = [sys.executable, "-m", "bench.hook_sink"]
        self._sink = self._started(command, self._cpus[-1], subprocess.PIPE)
        assert self._sink.stdout
        self._port = int(self._sink.stdout.readline())
        return f"http://127.0.0.1:{self._port}{path}"

    def worker(self) -> str:
        """The worker's path. It is on the processor of the receivers."""
        path = Path(self.directory) / "worker.py"
        figures = f"{self.directory}/worker.json"
        path.write_text(WORKER.format(python=sys.executable, root=str(ROOT), cpu=self._cpus[-1], figures=figures))
        path.chmod(0o700)
        return str(path)

    def drive(self, job: Job) -> Figures:
        """Have the driver do the job."""
        job = replace(job, directory=self.directory, started_ns=time.monotonic_ns())
        module = ["-m", "gevent.monkey", "--module", "bench.hook_driver"]
        process = self._started([sys.executable, *module, job.as_json()], self._cpus[0], subprocess.DEVNULL)
        try:
            output, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            end(process)
        if process.returncode:
            raise ServerFailed(f"the driver ended with {process.returncode}")
        figures: Figures = json.loads(output)
        return figures

    def received(self) -> dict[str, Any]:
        """What the receiver has seen."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/", timeout=60) as answer:
            seen: dict[str, Any] = json.load(answer)
        return seen

    def worked(self) -> dict[str, Any]:
        """What the worker has seen, which has ended."""
        path = Path(self.directory) / "worker.json"
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                seen: dict[str, Any] = json.loads(path.read_text())
                return seen
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.05)
        raise ServerFailed("the worker has not ended")

    def _started(self, command: list[str], cpu: int, stdin: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=stdin,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
        )


def faults(seen: dict[str, Any], sent: float) -> Figures:
    """What must all be 0 (``trials.PROBLEMS``)."""
    return {
        "lost": sent - seen["unique"],
        "duplicated": seen["duplicated"],
        "reordered": seen["reordered"],
        "corrupt": seen["unreadable"],
    }


# --- the trials ------------------------------------------------------------------------------------


def accept(bench: Bench, guarantee: str) -> Figures:
    """Onto the disk, and no further."""
    return bench.drive(Job("accept", guarantee, target="http://127.0.0.1:9/", events=bench.size.events))


def deliver(bench: Bench, job: Job) -> Figures:
    """As fast as the receiver, a sink or a worker, takes them."""
    is_worker = job.type == "worker"
    job = replace(job, target=bench.worker() if is_worker else bench.sink(), events=bench.size.events)
    figures = bench.drive(job)
    seen = bench.worked() if is_worker else bench.received()
    return {**figures, **faults(seen, figures["sent"])}


def single(bench: Bench, guarantee: str) -> Figures:
    """One event in one request."""
    return deliver(bench, Job("deliver", guarantee))


def batch(bench: Bench, guarantee: str) -> Figures:
    """A hundred events in one request."""
    return deliver(bench, Job("deliver", guarantee, concurrency=2, batch_events=100, batch_age_s=0.05))


def worker(bench: Bench, guarantee: str, streams: int = 500) -> Figures:
    """To a program that stays."""
    job = Job("deliver", guarantee, type="worker", concurrency=1, batch_events=100, streams=streams)
    return deliver(bench, job)


def hot(bench: Bench, guarantee: str) -> Figures:
    """The same where all events are of one stream: each waits for the answer to the one before."""
    return worker(bench, guarantee, streams=1)


def latency(bench: Bench, guarantee: str) -> Figures:
    """From the moment at which an event is due to the moment at which the receiver has it."""
    size = bench.size
    figures = bench.drive(
        Job("paced", guarantee, target=bench.sink(), events=int(size.rate * size.seconds), rate=size.rate)
    )
    seen = bench.received()
    shares = {"p50 ms": 0.5, "p99 ms": 0.99, "p99.9 ms": 0.999, "max ms": 1.0}
    delays = {name: percentile_ms(seen["delays_ns"], share) for name, share in shares.items()}
    return {**figures, **delays, **faults(seen, figures["sent"])}


def concurrent(bench: Bench, guarantee: str) -> Figures:
    """Executions that all take a while."""
    events = _concurrent_events(bench.size.events)
    figures = bench.drive(
        Job("deliver", guarantee, target=bench.sink(f"/slow/{SLOW_MS}"), events=events, concurrency=128)
    )
    seen = bench.received()
    return {**figures, "most at once": seen["most_under_way"], **faults(seen, figures["sent"])}


def sporadic(bench: Bench, guarantee: str) -> Figures:
    """An endpoint that fails now and then, beside the same one without a fault, with the retries of the specification's
    example: what is left of the rate, and what is lost at half of it with three attempts."""
    found: Figures = {}
    job = Job(
        "sporadic",
        guarantee,
        events=bench.size.events,
        streams=2000,
        initial_delay_s=min(bench.size.seconds / 10, 1.0),
        max_delay_s=4.0,  # the specification's example has a minute, which some events would take to come to an end
        jitter=True,
    )
    for share in SHARES:
        with bench.another(f"/flaky/{share}") as one:
            figures = one.drive(replace(job, target=one.url))
            problems = faults(one.received(), figures["sent"])
            found[f"{share} % events/s"] = figures["events/s"]
            found[f"{share} % events/CPU-s"] = figures["events/CPU-s"]
            found[f"{share} % left"] = 100 * figures["events/s"] / max(found["0 % events/s"], 1e-9)
            found[f"{share} % CPU left"] = 100 * figures["events/CPU-s"] / max(found["0 % events/CPU-s"], 1e-9)
            for name, value in (problems | {"dropped": figures["dropped"]}).items():
                found[name] = found.get(name, 0) + value
    for share in SHARES[1:]:
        with bench.another(f"/flaky/{share}") as one:
            rate = max(int(found["0 % events/s"] / 2), 1)
            half = replace(job, trial="paced", target=one.url, rate=rate, events=max(int(rate * bench.size.seconds), 1))
            figures = one.drive(replace(half, max_attempts=3, queue_events=1000))
            found[f"{share} % dropped"] = figures["dropped"]
            found[f"{share} % dead"] = figures["dead"]
    return found


def backlog(bench: Bench, guarantee: str) -> Figures:
    """An endpoint that is down, then a crash, then a start with all of it and an endpoint that is there."""
    job = Job("backlog", guarantee, target=f"http://127.0.0.1:{_free_port()}/", events=bench.size.backlog)
    piled = bench.drive(job)
    resumed = bench.drive(replace(job, trial="resume", target=bench.sink()))
    seen = bench.received()
    return {
        **piled,
        "first delivery s": resumed["first delivery s"],
        "resumed events/s": resumed["events/s"],
        "duplicated": seen["duplicated"],
        "reordered": seen["reordered"],
        "corrupt": seen["unreadable"],
    }


def sieve(bench: Bench, guarantee: str) -> Figures:
    """Filters of every kind but the rate on one hook."""
    return bench.drive(Job("sieve", guarantee))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


_LEFT = tuple(f"{share} % {what}" for share in SHARES[1:] for what in ("left", "CPU left"))
_LOST = tuple(f"{share} % {what}" for share in SHARES[1:] for what in ("dropped", "dead"))
_SPEED = ("events/s", "events/CPU-s", "CPU us/event", "cores")
TRIALS = {
    trial.name: trial
    for trial in (
        HookTrial(
            "accept",
            "durable events accepted, the hook is stopped",
            accept,
            (*_SPEED, "events/commit"),
            {"events/s": 5000},
            guarantees=(AT_LEAST_ONCE,),
        ),
        HookTrial("single", "webhooks, one event in one POST", single, _SPEED, {"events/s": 2000}),
        HookTrial("batch", "webhooks, 100 events in one POST", batch, _SPEED, {"events/s": 10_000}),
        HookTrial("worker", "a worker, 500 streams", worker, _SPEED, {"events/s": 10_000}),
        HookTrial("hot", "a worker, all events of one stream", hot, _SPEED, {}),
        HookTrial(
            "latency",
            "webhooks at a fixed rate: due to received",
            latency,
            ("p50 ms", "p99 ms", "p99.9 ms", "max ms", *_SPEED),
            {"p99 ms": -25},
        ),
        HookTrial(
            "concurrent",
            f"webhooks that take {SLOW_MS} ms, 128 at once allowed",
            concurrent,
            ("most at once", *_SPEED),
            {"most at once": 100},
        ),
        HookTrial(
            "sporadic",
            "webhooks to an endpoint that fails now and then (503)",
            sporadic,
            ("0 % events/s", *_LEFT, *_LOST),
            {"1 % left": 95, "5 % left": 90, "20 % left": 70},
        ),
        HookTrial(
            "backlog",
            "a backlog, a crash and a start with it",
            backlog,
            ("backlog", "RSS growth MB", "first delivery s", "resumed events/s", *_SPEED),
            {"RSS growth MB": -50, "first delivery s": -2},
            guarantees=(AT_LEAST_ONCE,),
        ),
        HookTrial("filter", "one filter", sieve, ("filter us",), {"filter us": -10}, guarantees=(NONE,)),
    )
}


# --- the command line ------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The options."""
    usual = Size()
    parsed = argparse.ArgumentParser(
        prog="scripts/bench hooks",
        description="Measures the hooks on this machine and prints tables.",
        epilog="trials: " + "; ".join(f"{trial.name}: {trial.title}" for trial in TRIALS.values()),
    )
    parsed.add_argument("--only", type=_trials, default=list(TRIALS), metavar="TRIALS", help="some, with commas")
    parsed.add_argument("--rounds", type=_positive, default=3, help="interleaved rounds (default 3)")
    parsed.add_argument("--events", type=_positive, default=usual.events, help="of each trial (default %(default)s)")
    parsed.add_argument("--backlog", type=_positive, default=usual.backlog, help="its events (default %(default)s)")
    parsed.add_argument("--seconds", type=float, default=usual.seconds, help="of latency (default %(default)s)")
    parsed.add_argument("--rate", type=_positive, default=usual.rate, help="events/s of latency (default %(default)s)")
    parsed.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parsed.add_argument("--markdown", type=Path, metavar="FILE", help="rewrite the figures in docs/performance.md")
    return parsed


def _about(options: argparse.Namespace) -> str:
    where = report.where("the daemon's half on one processor, the receivers on the other")
    rounds = f"{options.rounds} interleaved round{'s' if options.rounds > 1 else ''}"
    return (
        f"{where} Median (least-greatest) of {rounds}. {options.events:,} events in each trial but latency "
        f"({options.rate:,} events/s for {options.seconds:g} s), backlog ({options.backlog:,} events) and concurrent "
        f"({_concurrent_events(options.events):,} events); durability full; MB is 10^6 bytes."
    )


def _concurrent_events(events: int) -> int:
    return max(events // 20, 256)


def _trials(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in TRIALS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(TRIALS)}")
    return names


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def measure(groups: list[report.Group], size: Size, rounds: int) -> list[str]:
    """Fills the groups. Returns one line for each trial that could not be carried out."""
    cpus = sorted(os.sched_getaffinity(0))
    failures = []
    for number in range(rounds):
        for group in groups:
            trial = TRIALS[group.trial.name]
            for guarantee in trial.guarantees:
                name = f"round {number + 1}/{rounds}  {group.title}: {guarantee}"
                with _timed(name), Bench(size, cpus) as bench:
                    try:
                        figures = trial.run(bench, guarantee)
                    except (ServerFailed, OSError, subprocess.TimeoutExpired) as error:
                        failures.append(f"{name}: {error}")
                        continue
                    group.rounds.setdefault(guarantee, []).append(figures)
    return failures


@contextmanager
def _timed(name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"{name}  {time.monotonic() - started:.1f} s", file=sys.stderr)


def short_of(group: report.Group) -> list[str]:
    """What the medians do not reach of what was aimed at."""
    lines = []
    for figure, wanted in TRIALS[group.trial.name].wanted.items():
        for guarantee in group.rounds:
            value = group.median(guarantee, figure)
            if value is not None and (value < wanted if wanted >= 0 else value > -wanted):
                relation = "under" if wanted >= 0 else "over"
                lines.append(f"{group.title}: {guarantee}: {figure} {report.number(value)}, {relation} {abs(wanted):g}")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Exit status 0: everything measured and nothing lost; 1: something failed or was lost. Speed is only told."""
    options = parser().parse_args(arguments)
    groups = [report.Group(TRIALS[name], f"{name}: {TRIALS[name].title}") for name in options.only]
    failures = measure(groups, Size(options.events, options.backlog, options.seconds, options.rate), options.rounds)
    groups = [group for group in groups if group.rounds]
    about = _about(options)
    print(f"\n{about}\n\n{report.plain(groups)}\n")
    if options.json is not None:
        options.json.write_text(report.as_json(groups, about))
    if options.markdown is not None:
        report.rewrite(options.markdown, report.markdown(groups, about), BEGIN, END)
    for line in [line for group in groups for line in short_of(group)]:
        print(f"SHORT    {line}")
    problems = failures + [line for group in groups for line in group.problems()]
    for line in problems:
        print(f"PROBLEM  {line}")
    return EX_PROBLEMS if problems else 0
