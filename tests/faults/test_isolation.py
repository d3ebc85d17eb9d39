"""A few rounds of what ``scripts/reliability`` measures; the machine decides the figures, so the claim is loose."""

from __future__ import annotations

from . import isolation


def test_dead_and_dripping_endpoints_leave_the_healthy_ones_alone(tmp_path):
    found = isolation.measure(tmp_path, rounds=1, seconds=1.5, lanes=20, dead=3, drip=3, rate=5)
    assert found.undelivered == 0
    assert found.among_ms[0] < 500, "nobody waits for a hook that takes a second to fail"
