"""What sick endpoints cost the healthy ones and the access callback: rounds in which they are dead, drip, or have a
name that is never resolved, and rounds in which they are as healthy as the others, in turn, so that the number of lanes
is the same."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import gevent
from gevent import monkey

from rtmpd.clock import Clock
from rtmpd.hook.manager import HookManager
from rtmpd.hook.question import Questioner
from rtmpd.net import outgoing
from rtmpd.net.outgoing import Endpoint, literal
from rtmpd.settings import AccessSettings, HooksSettings, RetrySettings, StoreSettings

from .ledger import DELIVERED, lines_of
from .producer import webhook
from .rig import Sink, receiving

USUAL = RetrySettings(max_attempts=1000)
# Bound to all types the healthy would also be told, a thousand times over, that others are degraded.
ONLY = {"event_types": ("publish_start",)}


@dataclass
class Isolation:
    """p99 in each round, in ms: ``alone_ms`` with all lanes healthy, ``among_ms`` with the sick, from emit to receiver
    of the healthy lanes; ``asked_alone_ms`` and ``asked_among_ms`` of the access callback."""

    lanes: int
    alone_ms: list[float]
    among_ms: list[float]
    asked_alone_ms: list[float]
    asked_among_ms: list[float]
    undelivered: int

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios; 1.0 is no difference."""
        return median(among / alone for alone, among in zip(self.alone_ms, self.among_ms, strict=True))

    @property
    def asked_ratio(self) -> float:
        """Likewise of the access callback."""
        return median(among / alone for alone, among in zip(self.asked_alone_ms, self.asked_among_ms, strict=True))


@contextmanager
def name_server() -> Iterator[list[str]]:
    """Names that begin with ``mute`` are never answered, all others lead to this machine; yields what was asked for."""
    asked: list[str] = []
    over = monkey.get_original("threading", "Event")()
    usual = outgoing.look_up

    def look_up(name: str) -> list[Endpoint]:
        asked.append(name)
        if name.startswith("mute"):
            over.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return literal("127.0.0.1")

    outgoing.look_up = look_up
    try:
        yield asked
    finally:
        over.set()
        outgoing.look_up = usual


def measure(
    folder: Path, rounds: int, seconds: float, lanes: int, rate: float, dead: int = 0, drip: int = 0, mute: int = 0
) -> Isolation:
    """``lanes`` hooks in all, of which so many are sick; every event goes to each of them."""
    found = Isolation(lanes, [], [], [], [], 0)
    (folder / "sick").mkdir()
    # The sick ones have a receiver of their own: what a thousand dripping answers cost it is not what is measured.
    with (
        receiving(folder) as sink,
        receiving(folder / "sick") as drips,
        socket.socket() as nobody,
        name_server(),
    ):
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        for number in range(drip):
            drips.mode(f"drip-{number}", "drip")
        named = sink.url.replace("127.0.0.1", "good.test")
        healthy = [webhook(f"good-{number}", named, **ONLY) for number in range(lanes - dead - drip - mute)]
        sick = [webhook(f"dead-{number}", url, retry=USUAL, **ONLY) for number in range(dead)]
        sick += [webhook(f"drip-{number}", drips.url, retry=USUAL, **ONLY) for number in range(drip)]
        sick += [webhook(f"mute-{number}", f"http://mute-{number}.test", retry=USUAL, **ONLY) for number in range(mute)]
        well = [webhook(f"well-{number}", drips.url, **ONLY) for number in range(dead + drip + mute)]
        for turn in range(rounds):
            sides = [
                (found.alone_ms, found.asked_alone_ms, healthy + well),
                (found.among_ms, found.asked_among_ms, healthy + sick),
            ]
            for figures, asked, hooks in sides if turn % 2 else sides[::-1]:
                path = folder / f"{turn}-{hooks[-1].id}.db"
                p99_ms, asked_p99_ms, missing = _round(sink, path, tuple(hooks), len(healthy), seconds, rate)
                figures.append(p99_ms)
                asked.append(asked_p99_ms)
                found.undelivered += missing
    return found


def _ask_often(url: str, spent_ms: list[float]) -> None:
    """Ask the access callback, as publishers would, and note how long each answer takes."""
    questioner = Questioner(AccessSettings(), Clock())
    ask = questioner.ask_for(url)
    try:
        while True:
            began = time.monotonic()
            assert ask(b"{}", 10.0)[0] == 200
            spent_ms.append(1000 * (time.monotonic() - began))
            gevent.sleep(0.02)
    finally:
        questioner.close()


def _round(sink: Sink, path: Path, hooks: tuple, good: int, seconds: float, rate: float) -> tuple[float, float, int]:
    """The p99 of the healthy and of the callback, and how many deliveries to the healthy there were not."""
    before = sum(1 for _ in lines_of(sink.folder / DELIVERED))
    manager = HookManager(HooksSettings(hooks, store=StoreSettings(str(path))), Clock())
    asked_ms: list[float] = []
    asking = gevent.spawn(_ask_often, f"{sink.url.replace('127.0.0.1', 'may.test')}/may", asked_ms)
    began, number = time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds:
        while number < (now - began) * rate:
            mark = f"{number}-{time.monotonic()}"
            manager.emit("publish_start", stream_key=f"live/{number % 50}", session_id=mark)
            number += 1
        gevent.sleep(0.005)
    asking.kill()
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
    asked_ms.sort()
    asked_p99_ms = asked_ms[int(len(asked_ms) * 0.99)]
    return 1000 * delays[int(len(delays) * 0.99)], asked_p99_ms, number * good - len(delays)
