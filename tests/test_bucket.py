"""The token bucket."""

from hypothesis import given
from hypothesis import strategies as st

from rtmpd.bucket import TokenBucket
from rtmpd.clock import FakeClock

TEN_A_MINUTE = 10 / 60


def bucket_of(per_s: float, burst: float, clock: FakeClock) -> TokenBucket:
    return TokenBucket(per_s, burst, clock.monotonic)


def taken(bucket, times):
    return sum(bucket.take() for _ in range(times))


def test_a_bucket_starts_full() -> None:
    assert taken(bucket_of(TEN_A_MINUTE, 10, FakeClock()), 100) == 10


def test_a_burst_of_its_own_bounds_what_passes_at_once():
    assert taken(bucket_of(TEN_A_MINUTE, 5, FakeClock()), 100) == 5
    assert taken(bucket_of(TEN_A_MINUTE, 25, FakeClock()), 100) == 25


def test_tokens_come_back_evenly_and_never_more_than_the_burst():
    clock = FakeClock()
    bucket = bucket_of(TEN_A_MINUTE, 5, clock)
    taken(bucket, 5)
    clock.advance(5.9)
    assert not bucket.take()
    clock.advance(0.2)
    assert taken(bucket, 5) == 1
    clock.advance(3600)
    assert taken(bucket, 100) == 5


def test_a_refusal_spends_nothing():
    clock = FakeClock()
    bucket = bucket_of(1.0, 1, clock)
    assert bucket.take()
    for _ in range(9):
        clock.advance(0.1)
        assert not bucket.take()
    clock.advance(0.11)
    assert bucket.take()


@given(st.lists(st.floats(0, 100), max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_no_more_passes_than_the_burst_and_the_rate_allow(pauses, events, burst):
    clock = FakeClock()
    bucket = bucket_of(events / 60, burst, clock)
    passed = 0
    for pause in pauses:
        clock.advance(pause)
        passed += bucket.take()
    assert passed <= burst + sum(pauses) * events / 60 + 1e-6
