"""[metrics] and [alerts]."""

from __future__ import annotations

import pytest

from rtmpd.settings import Address, AlertSettings, Levels, MetricsSettings

from .conftest import Read, Refuse


def test_metrics_are_read(read: Read) -> None:
    settings = read(
        "[metrics]\nstatsd = stats.example.net:8125\nstatsd_protocol = tcp\nstatsd_prefix = a.b\nstatsd_host = edge1\n"
        "statsd_interval = 1s\nstatsd_packet = 8k\nmax_apps = 3\nper_stream = yes\nmax_streams = 7\n"
    ).settings.metrics
    assert settings == MetricsSettings(
        Address("stats.example.net", 8125), "tcp", "a.b", "edge1", 1.0, 8192, 3, True, 7
    )


def test_an_ipv6_address_is_written_in_brackets(read: Read) -> None:
    assert read("[metrics]\nstatsd = [::1]:8125\n").settings.metrics.statsd == Address("::1", 8125)


def test_alerts_are_read(read: Read) -> None:
    settings = read(
        "[alerts]\ninterval = 1s\nhold = 3s\ncool_down = 0\nhysteresis = 5\ncpu = 50, 60.5\nmemory = 70\n"
        "queue_depth = 0\nconnections = 100, 200\nhub_lag = 50ms, 1.5s\nhook = \ndisk_paths = /a, /b\n"
    ).settings.alerts
    assert settings == AlertSettings(
        interval_s=1.0, hold_s=3.0, cool_down_s=0.0, hysteresis_percent=5, cpu=Levels(50, 60.5), memory=Levels(70, 0),
        queue_depth=Levels(0, 0), connections=Levels(100, 200), hub_lag_ms=Levels(50, 1500), hook_ms=Levels(0, 0),
        disk_paths=("/a", "/b"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "key", "message"),
    [
        ("[metrics]\nstatsd = 8125", "metrics.statsd", "has no port"),
        ("[metrics]\nstatsd = :8125", "metrics.statsd", "has no host or no port"),
        ("[metrics]\nstatsd = host:0", "metrics.statsd", "has no host or no port"),
        ("[metrics]\nstatsd_packet = 100", "metrics.statsd_packet", "is too small"),
        ("[alerts]\ncpu = 80, 90, 95", "alerts.cpu", "has more than two thresholds"),
        ("[alerts]\ncpu = 90, 80", "alerts.cpu", "is critical before it is worth a warning"),
        ("[alerts]\ncpu = high", "alerts.cpu", "is not a number"),
        ("[alerts]\nmemory = 101", "alerts.memory", "is too large"),
        ("[alerts]\nhub_lag = 2h", "alerts.hub_lag", "is too large"),
        ("[alerts]\nhub_lag = soon", "alerts.hub_lag", "is not a duration"),
        ("[alerts]\ndisk_paths = var", "alerts.disk_paths", "var is not an absolute path"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(refuse: Refuse, line: str, key: str, message: str) -> None:
    (problem,) = refuse(line + "\n")
    assert (problem.key, problem.message) == (key, message)
