"""What is run: by the tests with small numbers, by ``scripts/reliability`` with large ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .auditor import Verdict
from .failpoints import FAILPOINTS
from .rig import Run, receiving

#: What a failpoint takes to be come to, and at which times of coming there the producer dies.
_ORDERS: dict[str, dict[str, Any]] = {
    "inside-collect": {"retention_s": 0.0, "look_s": 0.05},
    "after-collect": {"retention_s": 0.0, "look_s": 0.05},
    "inside-reload": {"reload_s": 0.1},
    "shutdown": {"stop_s": 0.3},
}
_TIMES = {"half-sent": (5, 40), "before-settle": (3, 60), "inside-reload": (2, 4), "shutdown": (1,),
          "after-collect": (2, 5)}


@dataclass
class Trial:
    """One line of the table: what was done how often, and the judge's verdict."""

    name: str
    times: int
    verdict: Verdict
    notes: dict[str, Any] = field(default_factory=dict)


def kills(folder: Path, times: int, seed: int, rate: float = 200.0, durability: str = "full") -> Trial:
    """SIGKILL at random moments under load, to an endpoint that misbehaves now and then."""
    with receiving(folder, seed) as sink:
        run = Run(sink, {"rate": rate, "durability": durability})
        sink.mode("", "flaky")
        run.kill_at_random(times, seed)
        return Trial(f"SIGKILL at random, {rate:.0f} events/s", run.kills, run.drain())


def reloads_and_kills(folder: Path, times: int, seed: int) -> Trial:
    """The same while all hooks are replaced again and again and delivered events are deleted at once."""
    order = {"rate": 200.0, "reload_s": 0.07, "look_s": 0.1, "retention_s": 0.0}
    with receiving(folder, seed) as sink:
        run = Run(sink, order)
        sink.mode("", "flaky")
        run.kill_at_random(times, seed)
        return Trial("SIGKILL during reloads and clean-up", run.kills, run.drain())


def failpoint(folder: Path, name: str, times: tuple[int, ...] = ()) -> Trial:
    """Die at one moment, again and again, and then deliver."""
    assert name in FAILPOINTS
    with receiving(folder) as sink:
        run = Run(sink, {"rate": 300.0})
        for count in times or _TIMES.get(name, (2, 9)):
            run.die_at(f"{name}:{count}", **_ORDERS.get(name, {}))
        return Trial(f"death at {name}", run.kills, run.drain())


Say = Callable[[str], None]
