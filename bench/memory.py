"""``scripts/bench memory``: accelerated hours of coming and going, and what stays in memory.

Publishers of ever new streams come and go as fast as they can, and their events go through the event store to a worker.
Everything that is kept by stream, connection or event is bounded, so the resident memory has to level off.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from .client import Client, Role
from .rig import Rig, raise_descriptor_limit
from .servers import Contender, Server

AT_ONCE = 8
STEPS = 12
#: From half of the time on the memory may grow by that much: page caches, and pieces that the allocator keeps.
MAX_GROWTH_MB = 6.0
WORKER = """\
#!/usr/bin/env python3
import json, sys
for line in sys.stdin:
    print("ack", json.loads(line)["id"], flush=True)
"""
SECTIONS = """\
[store]
path = {folder}/events.db
retention = 60s
[hooks]
    [[worker]]
    type = worker
    path = {folder}/worker.py
    batch_events = 64
    guarantee_level = at-least-once
"""


class Crowd:
    """``AT_ONCE`` publishers, each followed by one of another stream as soon as the server has granted it."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.published = 0

    def begin(self) -> None:
        """Let the first ones come."""
        for _ in range(AT_ONCE):
            self._come()

    def _come(self) -> None:
        client = self._rig.client(Role.PUBLISH, f"stream-{time.monotonic_ns()}")
        client.on_ready = self._go
        client.on_closed = self._go
        client.open()

    def _go(self, client: Client) -> None:
        client.on_ready = client.on_closed = None
        self.published += 1
        self._rig.drop(client)
        self._rig.loop.call_at(time.monotonic(), self._come)


def main(arguments: list[str]) -> int:
    """Run, print the memory as it goes, and return 1 if it does not level off."""
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    asked = parser.parse_args(arguments)
    raise_descriptor_limit()
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    found: list[float] = []
    with tempfile.TemporaryDirectory(prefix="rtmpd-bench-") as name:
        folder = Path(name)
        worker = folder / "worker.py"
        worker.write_text(WORKER)
        worker.chmod(0o755)
        contender = Contender("rtmpd", "rtmpd", sections=SECTIONS.format(folder=folder))
        with Server(contender, cpus[0]) as server, Rig(server) as rig:
            crowd = Crowd(rig)
            crowd.begin()
            for step in range(STEPS):
                rig.loop.run_for(asked.seconds / STEPS)
                found.append(rig.resident_kb() / 1024)
                done_s = (step + 1) * asked.seconds / STEPS
                print(f"{done_s:6.0f} s  {crowd.published:8} publishes  {found[-1]:6.1f} MB", flush=True)
    growth_mb = found[-1] - found[len(found) // 2 - 1]
    print(f"growth in the second half: {growth_mb:.1f} MB, at most {MAX_GROWTH_MB:.1f}")
    return int(growth_mb > MAX_GROWTH_MB)
