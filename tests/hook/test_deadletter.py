"""Dead letters: counted, kept, posted."""

from __future__ import annotations

import json

import pytest

from rtmpd.clock import FakeClock
from rtmpd.event.birth import Births
from rtmpd.event.event import Event
from rtmpd.hook.lane.deadletter import ATTEMPTS, EXPIRED, DeadLetters, Numbers

EVENT = Event("publish_start", 1_700_000_000, "c000001", "live/ä", {"app": "live"}, "evt_1", 7, "warning")


def test_they_are_counted_by_reason_and_only_the_latest_are_kept() -> None:
    letters = DeadLetters("ops", FakeClock(), Numbers())
    for number in range(150):
        letters.bury(Event("publish_start", number), ATTEMPTS if number % 3 else EXPIRED, 3, "no")
    assert letters.counts == {ATTEMPTS: 100, EXPIRED: 50}
    assert [letter.event.timestamp for letter in letters.kept] == list(range(50, 150))


def test_their_numbers_are_of_one_series_for_all_hooks() -> None:
    numbers = Numbers()
    one, other = DeadLetters("ops", FakeClock(), numbers), DeadLetters("office", FakeClock(), numbers)
    for letters in (one, other, one):
        letters.bury(EVENT, ATTEMPTS, 1, "")
    assert [letter.number for letter in one.kept] == [1, 3]
    assert [letter.number for letter in other.kept] == [2]


def test_what_is_forwarded_is_the_event_with_what_led_to_its_death() -> None:
    sent: list[Event] = []
    clock = FakeClock(wall=1_700_000_600.25)
    DeadLetters("ops", clock, Numbers(), sent.append).bury(EVENT, ATTEMPTS, 3, 'said "no" ü')
    (letter,) = sent
    assert json.loads(letter.json()) == {
        "event": json.loads(EVENT.json()),
        "hook_id": "ops",
        "attempts": 3,
        "last_error": 'said "no" ü',
        "original_time": "2023-11-14T22:13:20.000Z",
        "dead_letter_time": "2023-11-14T22:23:20.250Z",
    }
    assert b"\n" not in letter.json() and b": " not in letter.json()
    assert (letter.id, letter.seq, letter.severity, str(letter)) == ("evt_1", 7, "warning", str(EVENT))


def test_the_time_of_the_event_has_the_milliseconds_of_its_birth() -> None:
    sent: list[Event] = []
    clock = FakeClock(wall=1_700_000_000.789)
    event = Births(clock.wall, lambda count: bytes(count)).event("publish_start", "", "live/a", {})
    DeadLetters("ops", clock, Numbers(), sent.append).bury(event, ATTEMPTS, 1, "")
    assert json.loads(sent[0].json())["original_time"] == "2023-11-14T22:13:20.789Z"


@pytest.mark.parametrize("timestamp", [-(10**18), 10**18])
def test_an_event_of_an_impossible_time_can_be_buried(timestamp: int) -> None:
    sent: list[Event] = []
    DeadLetters("ops", FakeClock(), Numbers(), sent.append).bury(Event("made_up", timestamp), ATTEMPTS, 1, "")
    assert json.loads(sent[0].json())["original_time"].endswith("Z")
