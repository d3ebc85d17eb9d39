"""What the quality monitor costs: the usual live stream to a server that has it on and to one that has it off, both
in one run and on one processor, so that both see the same noise of the machine. Nobody plays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice

from .audience import Figures
from .publisher import Publisher
from .rig import Rig, Used
from .servers import RTMPD_UNWATCHED, Server

TURN_S = 0.1
PUBLISHERS = 50
GOP_S = 2.0
LIVE_SLICE_S = 0.005

_Side = tuple[Rig, list[Publisher]]


@contextmanager
def _two_sides(rig: Rig, publishers: int) -> Iterator[list[_Side]]:
    with Server(RTMPD_UNWATCHED, min(os.sched_getaffinity(rig.server.pid))) as server, Rig(server) as unwatched:
        yield [(side, [side.publisher(f"monitor{n}") for n in range(publishers)]) for side in (rig, unwatched)]


def flat_out(rig: Rig, seconds: float) -> Figures:
    """One publisher each, by turns: the worst case, as ingest costs least there."""
    with _two_sides(rig, 1) as sides:
        for _, (publisher,) in sides:
            publisher.start_mixed_flat_out()
            publisher.pump_for(seconds / 8)
        figures = _measuring(sides)
        for turn in range(max(2, int(seconds / TURN_S))):
            for _, (publisher,) in sides if turn % 2 else sides[::-1]:
                publisher.pump_for(TURN_S)
        return figures()


def in_real_time(rig: Rig, seconds: float) -> Figures:
    """Many publishers each at the same time, as they are in use; their key frames are spread over the time."""
    with _two_sides(rig, PUBLISHERS) as sides:
        for number in range(PUBLISHERS):
            for _, publishers in sides:
                publishers[number].start()
            _both_for(sides, GOP_S / PUBLISHERS)
        figures = _measuring(sides)
        _both_for(sides, seconds)
        return figures()


def _both_for(sides: list[_Side], seconds: float) -> None:
    for side, _ in islice(cycle(sides), max(2, round(seconds / LIVE_SLICE_S))):
        side.loop.run_for(LIVE_SLICE_S)


def _measuring(sides: list[_Side]) -> Callable[[], Figures]:
    """Begin; the result ends it."""
    begun = [(side.meter(), _media_s(publishers)) for side, publishers in sides]
    return partial(_figures, sides, begun)


def _figures(sides: list[_Side], begun: list[tuple[Callable[[], Used], float]]) -> Figures:
    spent = [used() for used, _ in begun]
    media_s = [_media_s(publishers) - before for (_, publishers), (_, before) in zip(sides, begun, strict=True)]
    on, off = (used.server_cpu_s * 1000 / max(1e-9, media) for used, media in zip(spent, media_s, strict=True))
    return {
        "CPU ms/media s": on,
        "CPU ms/media s, off": off,
        "cost %": (on / max(1e-9, off) - 1) * 100,
        "failed": float(any(publisher.client.failure for _, publishers in sides for publisher in publishers)),
        "generator cores": spent[0].generator_cores,
    }


def _media_s(publishers: list[Publisher]) -> float:
    return sum(publisher.media_s for publisher in publishers)
