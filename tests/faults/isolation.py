"""What dead and dripping endpoints cost the healthy ones: rounds in which they are sick and rounds in which they are
as healthy as the others, in turn, so that the number of lanes is the same."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import gevent

from rtmpd.clock import Clock
from rtmpd.hook.manager import HookManager
from rtmpd.settings import HooksSettings, RetrySettings, StoreSettings

from .ledger import DELIVERED, lines_of
from .producer import webhook
from .rig import Sink, receiving

USUAL = RetrySettings(max_attempts=1000)
# Bound to all types the healthy would also be told, a thousand times over, that others are degraded.
ONLY = {"event_types": ("publish_start",)}


@dataclass
class Isolation:
    """p99 from emit to receiver of the healthy lanes in each round, in ms: ``alone_ms`` with all lanes healthy,
    ``among_ms`` with the sick."""

    lanes: int
    dead: int
    drip: int
    alone_ms: list[float]
    among_ms: list[float]
    undelivered: int

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios; 1.0 is no difference."""
        return median(among / alone for alone, among in zip(self.alone_ms, self.among_ms, strict=True))


def measure(folder: Path, rounds: int, seconds: float, lanes: int, dead: int, drip: int, rate: float) -> Isolation:
    """``lanes`` hooks in all; every event goes to each of them."""
    found = Isolation(lanes, dead, drip, [], [], 0)
    (folder / "sick").mkdir()
    # The sick ones have a receiver of their own: what a thousand dripping answers cost it is not what is measured.
    with receiving(folder) as sink, receiving(folder / "sick") as drips, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        for number in range(drip):
            drips.mode(f"drip-{number}", "drip")
        healthy = [webhook(f"good-{number}", sink.url, **ONLY) for number in range(lanes - dead - drip)]
        sick = [webhook(f"dead-{number}", url, retry=USUAL, **ONLY) for number in range(dead)]
        sick += [webhook(f"drip-{number}", drips.url, retry=USUAL, **ONLY) for number in range(drip)]
        well = [webhook(f"well-{number}", drips.url, **ONLY) for number in range(dead + drip)]
        for turn in range(rounds):
            sides = [(found.alone_ms, healthy + well), (found.among_ms, healthy + sick)]
            for figures, hooks in sides if turn % 2 else sides[::-1]:
                path = folder / f"{turn}-{hooks[-1].id}.db"
                p99_ms, missing = _round(sink, path, tuple(hooks), len(healthy), seconds, rate)
                figures.append(p99_ms)
                found.undelivered += missing
    return found


def _round(sink: Sink, path: Path, hooks: tuple, good: int, seconds: float, rate: float) -> tuple[float, int]:
    """The p99 of the healthy, and how many of their deliveries there were not."""
    before = sum(1 for _ in lines_of(sink.folder / DELIVERED))
    manager = HookManager(HooksSettings(hooks, store=StoreSettings(str(path))), Clock())
    began, number = time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds:
        while number < (now - began) * rate:
            mark = f"{number}-{time.monotonic()}"
            manager.emit("publish_start", stream_key=f"live/{number % 50}", session_id=mark)
            number += 1
        gevent.sleep(0.005)
    lanes = [lane for id, lane in manager.lanes.items() if id.startswith("good")]
    with gevent.Timeout(20, False):
        while (manager.events and manager.events.staged) or any(lane.queued + lane.active > 0 for lane in lanes):
            gevent.sleep(0.02)
    manager.close(0)
    lines = list(lines_of(sink.folder / DELIVERED))[before:]
    delays = sorted(
        line["mono"] - float(line["mark"].partition("-")[2])
        for line in lines
        if line["hook"].startswith("good") and line["mark"].partition("-")[2]
    )
    return 1000 * delays[int(len(delays) * 0.99)], number * good - len(delays)
