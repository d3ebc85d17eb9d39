"""Ids and sequence numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.event.birth import Births, EventIds, SequenceNumbers, time_of

ALPHABET = set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def fixed(count):
    return bytes(range(count))


def test_an_id_is_a_time_and_eighty_random_bits():
    # The 10 characters of this time are those of the ULID specification's own example.
    identifier = EventIds(lambda count: b"\xff" * count).next(1469918176385)
    assert identifier == "evt_01ARYZ6S41" + "Z" * 16


@given(st.integers(0, 2**48 - 1))
def test_the_time_in_an_id_can_be_read_again(unix_ms):
    assert time_of(EventIds(fixed).next(unix_ms)) == unix_ms / 1000


@pytest.mark.parametrize("other", ["", "evt_", "evt_1", "evt_lowercaseletters", "evt_0123456U89ABCDEF"])
def test_what_is_no_id_has_no_time(other):
    assert time_of(other) == 0.0


def test_ids_need_no_escaping_anywhere():
    identifier = EventIds(fixed).next(1_700_000_000_000)
    assert identifier.startswith("evt_") and len(identifier) == 30
    assert set(identifier[4:]) <= ALPHABET


@given(st.lists(st.integers(0, 2**47)), st.data())
def test_ids_grow_whatever_the_clock_does(times, data):
    ids = EventIds(lambda count: data.draw(st.binary(min_size=count, max_size=count)))
    made = [ids.next(time) for time in times]
    assert made == sorted(set(made))


def test_numbers_count_each_stream_by_itself_from_one():
    numbers = SequenceNumbers()
    assert [numbers.next(subject) for subject in ("a", "b", "a", "a", "b")] == [1, 1, 2, 3, 2]


def test_a_counter_that_was_given_up_never_runs_backwards():
    numbers = SequenceNumbers(limit=2)
    assert [numbers.next("a") for _ in range(5)][-1] == 5
    numbers.next("b")
    numbers.next("c")
    assert numbers.next("a") == 6


def test_the_number_of_counters_is_bounded():
    numbers = SequenceNumbers(limit=3)
    for subject in range(100):
        numbers.next(str(subject))
    assert len(numbers._last) == 3


def test_a_birth_fills_in_everything():
    births = Births(lambda: 1_700_000_000.75, fixed)
    event = births.event("config_reload", "", "", {"result": "rejected"})
    assert (event.timestamp, event.seq, event.severity) == (1_700_000_000, 1, "error")
    assert event.id.startswith("evt_01HF7YAT")


def test_events_are_numbered_by_stream_else_by_connection():
    births = Births(lambda: 5.0, fixed)
    first = births.event("publish_start", "c1", "live/a", {})
    other = births.event("connection_accept", "c1", "", {})
    second = births.event("publish_stop", "c2", "live/a", {})
    assert (first.seq, other.seq, second.seq) == (1, 1, 2)
