"""Alerts: what is watched, and from when on it is worth an event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Levels:
    """From which value on there is a warning, and from which on it is critical. 0 is never."""

    warning: float = 0.0
    critical: float = 0.0


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """``cpu``, ``memory``, ``descriptors`` and ``disk`` are in percent, the ones in ``_ms`` are times, the rest counts.
    ``connections`` None is 80 and 95 % of the limit on them. A value must be over a threshold for ``hold_s``, and
    under it by ``hysteresis_percent`` for as long; ``cool_down_s`` after an alert has ended it is not raised
    again, unless it is critical."""

    enabled: bool = True
    interval_s: float = 5.0
    hold_s: float = 10.0
    cool_down_s: float = 60.0
    hysteresis_percent: int = 10
    cpu: Levels = Levels(80, 95)
    memory: Levels = Levels(90, 97)
    connections: Levels | None = None
    queue_depth: Levels = Levels(5000, 50000)
    handshake_ms: Levels = Levels(2000, 5000)
    message_ms: Levels = Levels(100, 500)
    hook_ms: Levels = Levels(5000, 15000)
    hub_lag_ms: Levels = Levels(200, 1000)
    descriptors: Levels = Levels(80, 95)
    disk: Levels = Levels(90, 97)
    disk_paths: tuple[str, ...] = ()
    hook_backlog: Levels = Levels(500, 5000)
    dead_letters: Levels = Levels(1, 100)
