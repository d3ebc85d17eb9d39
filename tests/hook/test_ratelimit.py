"""The token bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.clock import FakeClock
from rtmpd.hook.filter.ratelimit import TokenBucket
from rtmpd.settings import RateLimit

TEN_A_MINUTE = RateLimit(10, 60.0)


def taken(bucket, times):
    return sum(bucket.take() for _ in range(times))


def test_a_bucket_starts_full_with_the_events_of_its_limit():
    assert taken(TokenBucket(TEN_A_MINUTE, 0, FakeClock()), 100) == 10


def test_a_burst_of_its_own_bounds_what_passes_at_once():
    assert taken(TokenBucket(TEN_A_MINUTE, 5, FakeClock()), 100) == 5
    assert taken(TokenBucket(TEN_A_MINUTE, 25, FakeClock()), 100) == 25


def test_tokens_come_back_evenly_and_never_more_than_the_burst():
    clock = FakeClock()
    bucket = TokenBucket(TEN_A_MINUTE, 5, clock)
    taken(bucket, 5)
    clock.advance(5.9)
    assert not bucket.take()
    clock.advance(0.2)
    assert taken(bucket, 5) == 1
    clock.advance(3600)
    assert taken(bucket, 100) == 5


def test_a_refusal_spends_nothing():
    clock = FakeClock()
    bucket = TokenBucket(RateLimit(1, 1.0), 1, clock)
    assert bucket.take()
    for _ in range(9):
        clock.advance(0.1)
        assert not bucket.take()
    clock.advance(0.11)
    assert bucket.take()


@given(st.lists(st.floats(0, 100), max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_no_more_passes_than_the_burst_and_the_rate_allow(pauses, events, burst):
    clock = FakeClock()
    bucket = TokenBucket(RateLimit(events, 60.0), burst, clock)
    passed = 0
    for pause in pauses:
        clock.advance(pause)
        passed += bucket.take()
    assert passed <= burst + sum(pauses) * events / 60 + 1e-6


@pytest.mark.parametrize(
    ("limit", "burst", "same"),
    [
        (RateLimit(10, 60.0), 10, True), (RateLimit(10, 60.0), 0, True), (RateLimit(10, 60.0), 9, False),
        (RateLimit(11, 60.0), 10, False), (RateLimit(10, 61.0), 10, False),
    ],
)  # fmt: skip
def test_a_bucket_knows_the_settings_it_is_for(limit, burst, same):
    assert TokenBucket(TEN_A_MINUTE, 0, FakeClock()).is_for(limit, burst) is same
