"""How many requests one client may make."""

from __future__ import annotations

import pytest

from rtmpd.errors import CommandError
from rtmpd.server.requests import Budget


def test_forty_requests_at_once_are_granted_and_no_more() -> None:
    budget = Budget(100.0)
    for _ in range(40):
        budget.spend(100.0)
    with pytest.raises(CommandError) as refused:
        budget.spend(100.0)
    assert refused.value.code == "too_many_requests"


def test_five_requests_per_second_can_go_on_for_ever() -> None:
    budget = Budget(0.0)
    for number in range(1000):
        budget.spend(number * 0.2)
