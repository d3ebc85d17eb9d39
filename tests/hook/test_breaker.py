"""The breaker of a lane."""

from rtmpd.hook.lane.breaker import Breaker


def test_it_opens_at_so_many_faults_in_a_row_and_says_so_once() -> None:
    breaker = Breaker(3)
    assert [breaker.failed() for _ in range(5)] == [False, False, True, False, False]
    assert breaker.is_open and breaker.faults == 5


def test_a_success_between_starts_the_count_again() -> None:
    breaker = Breaker(2)
    assert not breaker.failed()
    assert not breaker.succeeded(8)
    assert not breaker.failed()
    assert not breaker.is_open
    assert breaker.limit(8) == 8


def test_some_faults_open_it_at_once() -> None:
    assert Breaker(100).failed(at_once=True)


def test_an_open_one_lets_one_through_and_closes_with_its_success() -> None:
    breaker = Breaker(1)
    breaker.failed()
    assert breaker.limit(8) == 1
    breaker.failed()
    assert (breaker.tries, breaker.limit(8)) == (2, 1)
    assert breaker.succeeded(8)
    assert not breaker.is_open and breaker.faults == 0


def test_after_it_closed_the_number_at_once_grows_with_each_success() -> None:
    breaker = Breaker(1)
    breaker.failed()
    limits = []
    for _ in range(5):
        breaker.succeeded(10)
        limits.append(breaker.limit(10))
    assert limits == [1, 2, 4, 8, 10]
    assert breaker.limit(20) == 20
