"""What a lane believes of its endpoint: the breaker, the pauses, and how many executions at once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.errors import AuthDeliveryError, TransientDeliveryError
from rtmpd.hook import fault
from rtmpd.hook.lane.health import SILENCE_S, WINDOW, Adaptive, Health
from rtmpd.settings import RetrySettings

BUSY = TransientDeliveryError("server returned status 503", "status:503")
REFUSED = TransientDeliveryError("network error: Connection refused", "ECONNREFUSED")


class Endpoint:
    """A health, and a time that a test moves."""

    def __init__(self, concurrency: int = 8, **retry: object) -> None:
        given = {"max_attempts": 1000, "initial_delay_s": 1.0, "max_delay_s": 60.0}
        self.health = Health(RetrySettings(**(given | retry)), concurrency, False)  # type: ignore[arg-type]
        self.now = 100.0

    def fails(self, error: TransientDeliveryError = BUSY, attempts: int = 1, after_s: float = 1.0) -> bool:
        self.now += after_s
        verdict = fault.fault_of(error)
        return self.health.failed(verdict, error, attempts, self.now)

    def succeeds(self, after_s: float = 0.001) -> bool:
        self.now += after_s
        return self.health.succeeded(self.now, 0.001, 1)

    @property
    def pause_s(self) -> float:
        return round(max(self.health.paused_until - self.now, 0.0), 6)


# --- evidence -------------------------------------------------------------------------------------


def test_a_single_failure_pauses_nothing() -> None:
    endpoint = Endpoint()
    assert not endpoint.fails() and endpoint.pause_s == 0.0
    assert (endpoint.health.is_open, endpoint.health.limit) == (False, 8)


def test_so_many_failures_in_a_row_open_the_breaker_once() -> None:
    endpoint = Endpoint(breaker_failures=3)
    assert [endpoint.fails() for _ in range(5)] == [False, False, True, False, False]
    assert endpoint.health.is_open and endpoint.health.failures == 5 and endpoint.health.why == fault.ENDPOINT


def test_a_success_between_begins_the_count_anew() -> None:
    endpoint = Endpoint(breaker_failures=2)
    for _ in range(20):
        assert not endpoint.fails()
        assert not endpoint.succeeds()
    assert not endpoint.health.is_open and endpoint.health.limit == 8


def test_failures_that_follow_each_other_by_chance_among_many_successes_are_no_evidence() -> None:
    endpoint = Endpoint(breaker_failures=5)
    for _ in range(10 * WINDOW):
        endpoint.succeeds()
    assert not any(endpoint.fails(after_s=SILENCE_S / 40) for _ in range(20))
    assert endpoint.fails(after_s=SILENCE_S)


def test_half_of_the_last_tries_is_evidence_however_quickly_they_come() -> None:
    endpoint = Endpoint(breaker_failures=5)
    for _ in range(10 * WINDOW):
        endpoint.succeeds()
    assert [endpoint.fails(after_s=0.0001) for _ in range(WINDOW // 2)].index(True) == WINDOW // 2 - 1


def test_of_failures_that_alternate_with_successes_half_is_too_many() -> None:
    endpoint = Endpoint()
    opened = []
    for _ in range(WINDOW):
        opened.append(endpoint.fails(after_s=0.001))
        endpoint.succeeds()
        if opened[-1]:
            break
    assert len(opened) == WINDOW // 2 and opened[-1]


@pytest.mark.parametrize("code", ["ECONNREFUSED", "EHOSTUNREACH", "gaierror"])
def test_an_endpoint_that_cannot_be_reached_twice_is_evidence(code: str) -> None:
    endpoint = Endpoint(breaker_failures=1000)
    error = TransientDeliveryError("network error", code)
    assert not endpoint.fails(error)
    assert endpoint.succeeds() is False
    assert not endpoint.fails(error, after_s=0.0)
    assert endpoint.fails(error, after_s=0.0)


def test_no_credentials_open_it_at_once() -> None:
    endpoint = Endpoint()
    assert endpoint.health.failed(fault.AUTH, AuthDeliveryError("no token", "token"), 1, endpoint.now)
    assert endpoint.health.why == fault.AUTH


def test_too_many_events_that_wait_for_another_try_are_evidence() -> None:
    endpoint = Endpoint()
    assert endpoint.health.overwhelmed(3, endpoint.now)
    assert endpoint.health.is_open and endpoint.pause_s == 4.0
    assert not endpoint.health.overwhelmed(3, endpoint.now)


def test_one_time_in_five_opens_nothing_in_a_hundred_thousand_tries() -> None:
    dice, endpoint = random.Random(7), Endpoint(breaker_failures=5)
    opened = 0
    for _ in range(100_000):
        opened += endpoint.fails(after_s=0.001) if dice.random() < 0.2 else endpoint.succeeds()
    assert opened == 0


# --- pauses ---------------------------------------------------------------------------------------


def test_the_pause_goes_on_where_the_backoff_of_the_event_was() -> None:
    endpoint = Endpoint(breaker_failures=5, initial_delay_s=0.2, max_delay_s=1.0)
    waits = []
    for attempts in range(1, 9):
        retry_at = endpoint.health.retry_at(attempts, BUSY, endpoint.now + 1.0)
        endpoint.fails(attempts=attempts)
        waits.append(round(max(retry_at - endpoint.now, endpoint.pause_s), 6))
    assert waits == [0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_the_pause_of_an_open_breaker_grows_with_each_probe() -> None:
    endpoint = Endpoint(breaker_failures=3)
    pauses = []
    for _ in range(10):
        endpoint.fails()
        pauses.append(endpoint.pause_s)
        endpoint.now += endpoint.pause_s
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(("status", "wait_s"), [(429, 600.0), (503, 600.0), (429, 0.0), (503, 0.001)])
def test_retry_after_holds_the_lane_as_long_as_it_says_and_opens_nothing(status: int, wait_s: float) -> None:
    endpoint = Endpoint(breaker_failures=1)
    for _ in range(20):
        assert not endpoint.fails(TransientDeliveryError("busy", f"status:{status}", wait_s))
        assert endpoint.pause_s == wait_s
        endpoint.now += wait_s


def test_too_many_requests_without_a_time_hold_the_lane_for_the_backoff() -> None:
    endpoint = Endpoint()
    endpoint.fails(TransientDeliveryError("busy", "status:429"), attempts=3)
    assert endpoint.pause_s == 4.0


def test_a_longer_pause_is_not_cut_by_a_shorter_one() -> None:
    endpoint = Endpoint()
    endpoint.fails(TransientDeliveryError("busy", "status:429", 600.0))
    endpoint.fails(TransientDeliveryError("busy", "status:429", 5.0), after_s=10.0)
    assert endpoint.pause_s == 590.0
    endpoint.fails(TransientDeliveryError("busy", "status:429"), after_s=10.0)
    assert endpoint.pause_s == 580.0
    for _ in range(5):
        endpoint.fails(after_s=10.0)
    assert endpoint.health.is_open and endpoint.pause_s == 530.0


@pytest.mark.parametrize(("wait_s", "expected_s"), [(None, 4.0), (0.0, 4.0), (3.0, 4.0), (50.0, 50.0)])
def test_an_event_waits_for_its_backoff_or_longer_if_the_endpoint_says_so(
    wait_s: float | None, expected_s: float
) -> None:
    health = Endpoint().health
    assert health.retry_at(3, TransientDeliveryError("busy", "status:503", wait_s), 100.0) == 100.0 + expected_s


@pytest.mark.parametrize(("wait_s", "expected_s"), [(0.5, 4.0), (50.0, 50.0)])
def test_a_probe_that_is_answered_with_retry_after_waits_for_the_longer_of_both(
    wait_s: float, expected_s: float
) -> None:
    endpoint = Endpoint(breaker_failures=1)
    endpoint.fails()
    endpoint.now += 1.0
    endpoint.fails(after_s=0.0)
    endpoint.now += 2.0
    endpoint.fails(TransientDeliveryError("busy", "status:503", wait_s), after_s=0.0)
    assert endpoint.pause_s == expected_s


# --- how many at once -----------------------------------------------------------------------------


def test_an_open_one_lets_one_through_and_closes_with_its_success() -> None:
    endpoint = Endpoint(breaker_failures=1)
    endpoint.fails()
    assert endpoint.health.limit == 1
    endpoint.fails()
    assert endpoint.health.limit == 1
    assert endpoint.succeeds()
    assert not endpoint.health.is_open and endpoint.health.failures == 0


def test_after_it_closed_the_number_at_once_grows_with_each_success() -> None:
    endpoint = Endpoint(10, breaker_failures=1)
    endpoint.fails()
    limits = []
    for _ in range(5):
        endpoint.succeeds()
        limits.append(endpoint.health.limit)
    assert limits == [1, 2, 4, 8, 10]
    endpoint.health.resize(20)
    assert endpoint.health.limit == 20


def test_what_failed_before_it_opened_is_forgotten_when_it_closes() -> None:
    endpoint = Endpoint()
    for _ in range(10):
        endpoint.fails()
    endpoint.succeeds()
    assert not any(endpoint.fails(after_s=0.001) for _ in range(4))


def test_after_it_closed_the_rate_of_failures_begins_anew() -> None:
    endpoint = Endpoint(breaker_failures=WINDOW // 2)
    assert [endpoint.fails(after_s=0.001) for _ in range(WINDOW // 2)][-1]
    for _ in range(WINDOW):
        endpoint.succeeds()
    opened = [endpoint.fails(after_s=0.001) for _ in range(WINDOW // 2)]
    assert opened == [False] * (WINDOW // 2 - 1) + [True]


def answered(limit: Adaptive, seconds: float, times: int) -> None:
    for _ in range(times):
        limit.succeeded(seconds, limit.limit)


def test_it_begins_with_one_and_grows_to_the_cap_while_answers_are_quick() -> None:
    limit = Adaptive(8)
    assert limit.limit == 1
    answered(limit, 0.01, 200)
    assert limit.limit == 8


def test_it_does_not_grow_when_less_was_asked_for() -> None:
    limit = Adaptive(8)
    for _ in range(100):
        limit.succeeded(0.01, 0)
    assert limit.limit == 1


def test_slow_answers_shrink_it() -> None:
    limit = Adaptive(8)
    answered(limit, 0.01, 200)
    answered(limit, 0.2, 10)
    assert limit.limit < 8


def test_slow_answers_to_what_was_under_way_together_shrink_it_once() -> None:
    limit = Adaptive(16)
    answered(limit, 0.01, 1000)
    for _ in range(12):
        limit.succeeded(0.5, 0)
    assert limit.limit == 12


def test_faults_shrink_it_once_for_those_that_were_under_way_together() -> None:
    limit = Adaptive(16)
    answered(limit, 0.01, 1000)
    limit.failed()
    once = limit.limit
    for _ in range(5):
        limit.failed()
    assert once == limit.limit == 12


@given(st.lists(st.one_of(st.none(), st.floats(0, 60)), max_size=300), st.integers(1, 64))
def test_it_never_leaves_its_bounds(answers: list[float | None], most: int) -> None:
    limit = Adaptive(most)
    for seconds in answers:
        if seconds is None:
            limit.failed()
        else:
            limit.succeeded(seconds, most)
        assert 1 <= limit.limit <= most
