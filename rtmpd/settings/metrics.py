"""Metrics: where they go, and how much of them."""

from __future__ import annotations

from dataclasses import dataclass

from .server import Address


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """``statsd`` None sends nothing. ``statsd_host`` is what stands for this machine in the path: ``auto`` is its name,
    "" leaves it out."""

    statsd: Address | None = None
    statsd_protocol: str = "udp"
    statsd_prefix: str = "rtmpd"
    statsd_host: str = "auto"
    statsd_interval_s: float = 10.0
    statsd_packet_bytes: int = 1432
    max_apps: int = 20
    per_stream: bool = False
    max_streams: int = 100
