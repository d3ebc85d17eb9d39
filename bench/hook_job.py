"""What the bench asks of the driver."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """What to do: ``trial`` is a name in ``JOBS``; ``target`` the URL or program; ``rate`` the events per second of an
    open loop; ``started_ns`` the monotonic moment at which the process was started."""

    trial: str
    guarantee: str
    directory: str = ""
    type: str = "webhook"
    target: str = ""
    events: int = 10_000
    streams: int = 500
    concurrency: int = 16
    batch_events: int = 1
    batch_age_s: float = 0.0
    rate: int = 0
    max_attempts: int = 1_000_000
    initial_delay_s: float = 0.1
    max_delay_s: float = 0.5
    jitter: bool = False
    queue_events: int = 20_000
    started_ns: int = 0

    def as_json(self) -> str:
        return json.dumps(asdict(self))
