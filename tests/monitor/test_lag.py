"""A loop that is kept from turning is late, and is seen to be."""

from __future__ import annotations

import time

import gevent

from rtmpd.clock import Clock
from rtmpd.metrics.window import Peak
from rtmpd.monitor.lag import LagMeter
from tests.support.metrics import registry
from tests.support.waiting import until


def test_a_blocked_loop_is_seen_and_an_idle_one_is_on_time() -> None:
    clock = Clock()
    histogram = registry().histogram("rtmp_hub_lag_seconds")
    meter = LagMeter(clock, histogram, Peak(clock, 60.0))
    meter.start()
    try:
        until(lambda: sum(histogram.buckets.get((), [])) >= 2)
        quiet = meter.peak.value()
        ends = time.monotonic() + 0.35
        while time.monotonic() < ends:  # the hub has no turn
            pass
        until(lambda: meter.peak.value() > quiet)
        assert meter.peak.value() >= 0.24
        late = [bucket for bucket, count in enumerate(histogram.buckets[()]) if count]
        assert max(late) >= 8
    finally:
        meter.stop()


def test_a_meter_that_was_stopped_measures_no_more() -> None:
    clock = Clock()
    histogram = registry().histogram("rtmp_hub_lag_seconds")
    meter = LagMeter(clock, histogram, Peak(clock, 60.0))
    meter.start()
    until(lambda: histogram.buckets)
    meter.stop()
    meter.stop()
    seen = sum(histogram.buckets[()])
    gevent.sleep(0.25)
    assert sum(histogram.buckets[()]) == seen
