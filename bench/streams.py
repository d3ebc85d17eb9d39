"""Many small streams, as on an ingest server: each with a player or two, or none, and sessions that come and go."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, cycle, islice

from .audience import Audience, Figures, latency_of
from .client import Client, Role
from .process import end
from .publisher import Publisher
from .rig import Rig
from .servers import ROOT, Contender, Server

HOOKED_STREAMS = 50
RETURNS_PER_S = 1  # of the hooked streams, publishers and players each
_LIVE_SLICE_S = 0.005
_HOOKS = """\
[hooks]
    [[webhook]]
    type = webhook
    url = http://127.0.0.1:{port}/
"""


@dataclass(frozen=True, slots=True)
class Size:
    """``streams`` with so many ``players`` each."""

    streams: int
    players: int

    def __str__(self) -> str:
        return f"{self.streams} x {self.players}"


def live(rig: Rig, size: Size, seconds: float) -> Figures:
    """Streams in real time, their frames spread evenly over the time; one player of each is verified, the others are
    counted. Without players what is taken in is counted."""
    publishers = [rig.publisher(f"stream{number}") for number in range(size.streams)]
    audiences = [Audience(rig, size.players, 1, f"stream{n}") for n in range(size.streams)] if size.players else []
    players = [player for audience in audiences for player in audience.players]
    if players:
        rig.open_all(players)
    _start(rig, publishers)
    for audience in audiences:
        audience.wait_for_media()
    _stop(rig, publishers, players)
    for publisher, audience in zip(publishers, audiences, strict=False):
        audience.restart(publisher.sequence)
    first, first_bytes = _sent(publishers)
    used = rig.meter()
    _start(rig, publishers)
    rig.loop.run_for(seconds)
    sending = used()
    _stop(rig, publishers, players)
    spent = used()
    last, last_bytes = _sent(publishers)
    messages = (last - first) * max(1, size.players)
    moved = sum(audience.delivered_bytes() for audience in audiences) if audiences else last_bytes - first_bytes
    faults: Figures = {"failed": float(sum(bool(publisher.client.failure) for publisher in publishers))}
    for publisher, audience in zip(publishers, audiences, strict=False):
        for name, value in audience.faults(publisher.sequence).items():
            faults[name] = faults.get(name, 0) + value
    return {
        "sent": last - first,
        "verified": sum(audience.verified_messages() for audience in audiences),
        "messages/CPU-s": messages / spent.server_cpu_s,
        "MB/CPU-s": moved / 1e6 / spent.server_cpu_s,
        "cores": sending.server_cores,
        "RSS MB": rig.resident_kb() / 1024,
        **latency_of(audiences),
        **faults,
        "generator cores": sending.generator_cores,
        "generator late ms": max(publisher.late_s for publisher in publishers) * 1000,
    }


def _start(rig: Rig, publishers: list[Publisher]) -> None:
    """Start all within a frame's time, so that their frames do not come together."""
    gap_s = 1 / rig.profile.frames_per_s / len(publishers)
    for publisher in publishers:
        publisher.start()
        rig.loop.run_for(gap_s)


def _stop(rig: Rig, publishers: list[Publisher], players: list[Client]) -> None:
    for publisher in publishers:
        publisher.stop()
    rig.settle(players or [publisher.client for publisher in publishers])


def _sent(publishers: list[Publisher]) -> tuple[int, int]:
    return sum(each.sequence for each in publishers), sum(each.sent_bytes for each in publishers)


# --- what events cost -----------------------------------------------------------------------------


class _Side:
    """A server with ``HOOKED_STREAMS`` live streams, of which a publisher and a player leave and come back."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._numbers = count()
        self._publishers = [rig.publisher(self._name(number)) for number in range(HOOKED_STREAMS)]
        self._players = [rig.client(Role.PLAY, self._name(number)) for number in range(HOOKED_STREAMS)]
        for player in self._players:
            player.counted = True
        rig.open_all(self._players)
        self.cost = rig.meter()

    def _name(self, number: int) -> str:
        return f"hooked{number}"

    def start(self) -> None:
        """Send in real time."""
        _start(self.rig, self._publishers)

    def turn_over(self) -> None:
        """Let the next publisher and the next player go, and others come in their place."""
        number = next(self._numbers) % HOOKED_STREAMS
        old = self._publishers[number]
        old.stop()
        old.client.on_closed = None
        old.client.end_stream()
        self.rig.drop(old.client)
        self._players[number].on_closed = None
        self.rig.drop(self._players[number])
        client = self.rig.client(Role.PUBLISH, self._name(number))
        client.on_ready = partial(self._came, number)
        client.open()
        player = self._players[number] = self.rig.client(Role.PLAY, self._name(number))
        player.counted = True
        player.open()

    def _came(self, number: int, client: Client) -> None:
        publisher = self._publishers[number] = Publisher(self.rig.loop, client, self.rig.profile)
        publisher.start()

    @property
    def failed(self) -> int:
        """How many of its sessions have failed."""
        clients = [publisher.client for publisher in self._publishers] + self._players
        return sum(bool(client.failure) for client in clients)


def hook_cost(rig: Rig, seconds: float) -> Figures:
    """What one webhook that gets every event costs, beside the media: a server without a hook and one with it, both at
    the same time on one processor, so that both see the same noise of the machine."""
    cpu = min(os.sched_getaffinity(rig.server.pid))
    with _webhook() as port:
        contender = Contender("rtmpd, hooked", "rtmpd", sections=_HOOKS.format(port=port))
        with Server(contender, cpu) as server, Rig(server) as hooked:
            sides = [_Side(rig), _Side(hooked)]
            for side in sides:
                side.start()
            _run(sides, 1.0)
            used = [side.rig.meter() for side in sides]
            for number in range(max(2, int(seconds * RETURNS_PER_S))):
                for side in sides if number % 2 else sides[::-1]:
                    side.turn_over()
                _run(sides, 1 / RETURNS_PER_S)
            plain, with_hook = (each() for each in used)
            return {
                "CPU ms/s": plain.server_cpu_s * 1000 / plain.wall_s,
                "CPU ms/s, hooked": with_hook.server_cpu_s * 1000 / with_hook.wall_s,
                "cost %": (with_hook.server_cpu_s / max(1e-9, plain.server_cpu_s) - 1) * 100,
                "failed": float(sum(side.failed for side in sides)),
                "generator cores": plain.generator_cores,
            }


@contextmanager
def _webhook() -> Iterator[int]:
    """A receiver that answers every POST at once; its port."""
    command = [sys.executable, "-m", "bench.event_sink", "webhook", os.devnull]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        end(process)


def _run(sides: list[_Side], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for side in islice(cycle(sides), 1_000_000):
        if time.monotonic() >= deadline:
            return
        side.rig.loop.run_for(_LIVE_SLICE_S)
