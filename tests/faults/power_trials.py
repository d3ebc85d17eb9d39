"""The power is cut, and what was accepted is looked for."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import gevent

from tests.support.waiting import until

from .auditor import Ends, Verdict, audit
from .inproc import Noting, ends, is_drained, managed, noting_accepted, publish
from .ledger import Line
from .power import Disk, plugged

_EVENTS = 400


@dataclass
class Cut:
    """One moment: the disk as it was left, what was accepted and received before, and where it was."""

    files: dict[str, bytes]
    accepted: list[Line]
    received: list[Line]
    inside_checkpoint: bool


@dataclass
class PowerFigures:
    """What all cuts of one durability came to."""

    cuts: int = 0
    inside_checkpoints: int = 0
    accepted: int = 0
    losing_cuts: int = 0
    lost: int = 0
    worst: int = 0
    unreadable: int = 0
    other_faults: dict[str, int] = field(default_factory=dict)


def cuts_of_one_run(path: str, durability: str, seed: int, count: int) -> list[Cut]:
    """Emit under load, and cut at ``count`` random operations of the file system; every second one tears."""
    draw = random.Random(seed)
    disk, cuts = Disk(), []
    accepted: list[Line] = []
    received: list[Line] = []
    moments = set(draw.sample(range(20, 900), count))
    operations = 0

    def operation(changed: str) -> None:
        nonlocal operations
        operations += 1
        if operations in moments:
            files = disk.cut(draw if operations % 2 else None)
            cuts.append(Cut(files, accepted[:], received[:], changed == path))

    with plugged(disk, path), noting_accepted(accepted):
        steady, held = Noting("steady", received), Noting("held", received, held=True)
        manager = managed(path, steady, held, durability=durability)
        disk.operation = operation
        for number in range(0, _EVENTS * 20, 3):
            publish(manager, number, 3, "x" * draw.randrange(300))
            gevent.sleep(0.0005)
            if len(cuts) == count:
                break
        disk.operation = lambda changed: None
        manager.close(0)
    return cuts


def judge(path: str, cut: Cut, durability: str) -> Verdict:
    """Start on what a cut has left, deliver everything, and join."""
    received = cut.received[:]
    with plugged(Disk(cut.files), path):
        manager = managed(path, Noting("steady", received), Noting("held", received), durability=durability)
        until(lambda: is_drained(manager))
        found = ends(manager)
        manager.close(1)
    return audit(cut.accepted, received, found)


def run(folder: Path, durability: str, cuts: int, seed: int, per_run: int = 10) -> PowerFigures:
    """Cut the power so often."""
    from rtmpd.errors import StartError

    figures = PowerFigures()
    path = str(folder / f"{durability}-{seed}.db")
    while figures.cuts < cuts:
        for cut in cuts_of_one_run(path, durability, seed, min(per_run, cuts - figures.cuts)):
            figures.cuts += 1
            figures.inside_checkpoints += cut.inside_checkpoint
            figures.accepted += len(cut.accepted)
            try:
                verdict = judge(path, cut, durability)
            except StartError:
                figures.unreadable += 1
                verdict = audit(cut.accepted, cut.received, Ends())
            figures.losing_cuts += bool(verdict.lost)
            figures.lost += len(verdict.lost)
            figures.worst = max(figures.worst, len(verdict.lost))
            for name, number in verdict.faults.items():
                if name != "lost":
                    figures.other_faults[name] = figures.other_faults.get(name, 0) + number
        seed += 1
    return figures
