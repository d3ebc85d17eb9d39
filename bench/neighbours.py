"""``scripts/bench neighbours``: what sick hooks cost the media.

One publisher and a few players, and beside them sessions that come and go and cause events for 100 webhooks that may
count on them. In one half of the rounds all endpoints are well; in the other ten of them are dead and ten drip.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from .audience import Audience, Figures
from .client import Role
from .process import end
from .rig import Rig, raise_descriptor_limit
from .servers import ROOT, Contender, Server

LANES, DEAD, DRIP = 100, 10, 10
PLAYERS = 5
SESSIONS_PER_S = 2
SESSION_S = 0.3
QUIET_S = 2.0
HOOK = """\
    [[{id}]]
    type = webhook
    url = {url}
    event_types = publish_start
    guarantee_level = at-least-once
"""


@contextmanager
def _receiver(folder: Path) -> Iterator[str]:
    """Its URL. Hooks called drip-N get their answers a byte at a time."""
    command = [sys.executable, "-m", "tests.faults.receiver", str(folder), "1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        for number in range(DRIP):
            body = json.dumps({"hook": f"drip-{number}", "mode": "drip"}).encode()
            urllib.request.urlopen(urllib.request.Request(f"{url}/mode", body, method="POST"), timeout=10).close()
        yield url
    finally:
        end(process)


def sections(folder: Path, urls: Iterator[tuple[str, str]]) -> str:
    """The hooks, and a store for them."""
    hooks = "".join(HOOK.format(id=id, url=url) for id, url in urls)
    return f"[store]\npath = {folder / 'events.db'}\n[hooks]\n{hooks}"


def _round(well: bool, seconds: float, cpus: list[int]) -> Figures:
    with tempfile.TemporaryDirectory(prefix="rtmpd-bench-") as name, socket.socket() as nobody:
        folder = Path(name)
        nobody.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        with _receiver(folder) as url:
            rest = LANES - DEAD - DRIP
            urls = [(f"good-{number}", f"{url}/good-{number}") for number in range(rest)]
            if well:
                urls += [(f"well-{number}", f"{url}/well-{number}") for number in range(DEAD + DRIP)]
            else:
                urls += [(f"dead-{number}", dead) for number in range(DEAD)]
                urls += [(f"drip-{number}", f"{url}/drip-{number}") for number in range(DRIP)]
            contender = Contender("rtmpd", "rtmpd", sections=sections(folder, iter(urls)))
            with Server(contender, cpus[0]) as server, Rig(server) as rig:
                return _live(rig, seconds)


def _live(rig: Rig, seconds: float) -> Figures:
    publisher, audience = rig.publisher(), Audience(rig, PLAYERS)
    publisher.start()
    audience.join()
    rig.loop.run_for(QUIET_S)
    for number in range(int(seconds * SESSIONS_PER_S)):
        guest = rig.client(Role.PUBLISH, f"guest{number}")
        guest.open()
        rig.loop.call_at(time.monotonic() + SESSION_S, partial(rig.drop, guest))
        rig.loop.run_for(1 / SESSIONS_PER_S)
    figures = audience.latency()
    publisher.stop()
    return figures


def main(arguments: list[str]) -> int:
    """Run the rounds and print them."""
    parser = argparse.ArgumentParser(prog="scripts/bench neighbours", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    asked = parser.parse_args(arguments)
    raise_descriptor_limit()
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[-1]})
    found: dict[bool, list[Figures]] = {True: [], False: []}
    for turn in range(asked.rounds):
        for well in (True, False) if turn % 2 else (False, True):
            figures = _round(well, asked.seconds, cpus)
            found[well].append(figures)
            words = ", ".join(f"{name} {value:.2f}" for name, value in figures.items() if name.startswith("video"))
            print(f"round {turn + 1}/{asked.rounds}  {'all well ' if well else 'some sick'}  {words}", flush=True)
    for name in ("video p50 ms", "video p99 ms"):
        pairs = zip(found[False], found[True], strict=True)
        ratio = median(sick[name] / well[name] for sick, well in pairs)
        print(f"{name}: sick / well, median of the rounds {ratio:.2f}")
    return 0
