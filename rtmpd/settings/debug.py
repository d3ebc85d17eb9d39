"""Help to look into a running daemon."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DebugSettings:
    """``backdoor`` is the path of a socket with a Python prompt inside the daemon, "": no socket. What holds the event
    loop up for ``report_blocking_s`` is logged with its stack, 0: never."""

    backdoor: str = ""
    report_blocking_s: float = 0.0
