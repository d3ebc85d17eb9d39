"""``scripts/bench events``: how long an event takes from its birth to a sink, while players watch a live stream.

Sessions come and go beside the players and cause events; a webhook, a worker and standard output get all of them. The
birth is in the id of an event, to the millisecond. Lines on standard output have no id; their bodies tell it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from .audience import Audience, Figures, percentile_ms
from .client import Role
from .process import end
from .rig import Rig, raise_descriptor_limit
from .servers import ROOT, Contender, Server

SINKS = ("webhook", "worker", "stdio")
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SESSIONS_PER_S = 20
SESSION_S = 0.5
QUIET_S = 2.0
HOOKS = """\
[hooks]
stdio_format = json
    [[webhook]]
    type = webhook
    url = http://127.0.0.1:{port}/
    [[worker]]
    type = worker
    path = {worker}
"""
WORKER = """\
#!/bin/bash
cd {root} && exec {python} -m bench.event_sink worker {notes}
"""

Note = tuple[float, str, str]


class _Loud(Server):
    """A server whose standard output somebody reads."""

    def __init__(self, contender: Contender, cpu: int, stdout: int) -> None:
        super().__init__(contender, cpu)
        self._stdout = stdout

    def _start(self) -> None:
        cpu = self._cpu
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._rtmpd_command(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._stdout, stderr=log,
                start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
            )  # fmt: skip
        self._wait_until_it_listens()


@contextmanager
def _sink(kind: str, notes: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "bench.event_sink", kind, str(notes)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        end(process)


def measure(players: int, seconds: float) -> Figures:
    """The delays at each sink in milliseconds, and what was missing."""
    cpus = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="rtmpd-bench-") as folder:
        home = Path(folder)
        notes = {kind: home / kind for kind in SINKS}
        worker = home / "worker.sh"
        worker.write_text(WORKER.format(root=ROOT, python=sys.executable, notes=notes["worker"]))
        worker.chmod(0o755)
        with _sink("webhook", notes["webhook"]) as webhook, _sink("stdio", notes["stdio"]) as stdio:
            assert webhook.stdout is not None and stdio.stdin is not None
            hooks = HOOKS.format(port=int(webhook.stdout.readline()), worker=worker)
            contender = Contender("rtmpd", "rtmpd", sections=hooks)
            with _Loud(contender, cpus[0], stdio.stdin.fileno()) as server, Rig(server) as rig:
                os.sched_setaffinity(0, {cpus[-1]})
                window, cost = _live(rig, players, seconds)
        return {**_figures({kind: _read(path) for kind, path in notes.items()}, window), **cost}


def _live(rig: Rig, players: int, seconds: float) -> tuple[range, Figures]:
    """A live stream with its players, and sessions that come and go: from when to when (Unix ms), at which cost."""
    publisher, audience = rig.publisher(), Audience(rig, players)
    publisher.start()
    audience.join()
    rig.loop.run_for(QUIET_S)  # what the players have caused when they came is delivered
    used, began_ms = rig.meter(), _now_ms()
    for number in range(int(seconds * SESSIONS_PER_S)):
        guest = rig.client(Role.PUBLISH, f"guest{number}")
        guest.open()
        rig.loop.call_at(time.monotonic() + SESSION_S, partial(rig.drop, guest))
        rig.loop.run_for(1 / SESSIONS_PER_S)
    spent, window = used(), range(began_ms, _now_ms())
    rig.loop.run_for(QUIET_S)
    publisher.stop()
    return window, {"cores": spent.server_cores, "generator cores": spent.generator_cores}


def _now_ms() -> int:
    return int(time.time() * 1000)


def _read(path: Path) -> list[Note]:
    rows = (line.split() for line in path.read_text().splitlines())
    return [(float(ms), id, body) for ms, id, body in rows]


def _figures(notes: dict[str, list[Note]], window: range) -> Figures:
    ids: dict[str, deque[str]] = defaultdict(deque)
    for _, id, body in sorted(notes["webhook"], key=lambda note: note[1]):
        ids[body].append(id)
    notes["stdio"] = [(ms, ids[body].popleft(), body) for ms, _, body in notes["stdio"] if ids[body]]
    every = {id for noted in notes.values() for _, id, _ in noted if _born_ms(id) in window}
    figures: Figures = {"events": len(every)}
    for kind, noted in notes.items():
        delays_ns = [int((ms - _born_ms(id)) * 1e6) for ms, id, _ in noted if id in every]
        figures |= {f"{kind} p{int(share * 100)} ms": percentile_ms(delays_ns, share) for share in (0.5, 0.99)}
        figures[f"{kind} max ms"] = max(delays_ns, default=0) / 1e6
        figures[f"{kind} missing"] = figures["events"] - len(delays_ns)
    return figures


def _born_ms(id: str) -> int:
    value = 0
    for digit in id[4:14]:
        value = value * len(DIGITS) + DIGITS.index(digit)
    return value


def main(arguments: list[str]) -> int:
    """Exit status 1 if an event did not reach a sink."""
    parsed = argparse.ArgumentParser(prog="scripts/bench events", description=(__doc__ or "").partition("\n")[0])
    parsed.add_argument("--players", type=int, default=200, help="players of the live stream (default 200)")
    parsed.add_argument("--seconds", type=float, default=20.0, help="measured time (default 20)")
    parsed.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    asked = parsed.parse_args(arguments)
    raise_descriptor_limit()
    figures = measure(asked.players, asked.seconds)
    for name, value in figures.items():
        print(f"{name:18} {value:10.2f}")
    if asked.json is not None:
        asked.json.write_text(json.dumps(figures))
    return int(any(value for name, value in figures.items() if name.endswith("missing")))
