"""``start`` starts houses; behind each test they must be as empty as before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.integration.house import Running

Start = Callable[..., Running]


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start a house with settings; it is stopped and checked when the test is over."""
    houses: list[Running] = []

    def begin(**settings: object) -> Running:
        houses.append(Running(**settings))  # type: ignore[arg-type]
        return houses[-1]

    yield begin
    for house in reversed(houses):
        house.finish()
