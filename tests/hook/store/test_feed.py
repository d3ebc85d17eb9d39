"""How much of the log one lane has in its hands."""

from __future__ import annotations

import pytest

from rtmpd.event.event import Event
from rtmpd.hook.store.feed import Feed, event_of
from rtmpd.hook.store.schema import UNSAVED, LaneRow, Page, Row

WINDOW = 8
WIDEST = 1024


class Keeper:
    """A log in which every page is asked for and none comes."""

    accepted = 0

    def __init__(self):
        self.pages = 0

    def wants_page(self, feed):
        self.pages += 1

    def has_settled(self, feed):
        pass

    def gap(self, feed, *facts):
        raise AssertionError(facts)


class Log:
    """A feed, and commits of events for it. ``taken`` are the seqs that were handed out from memory."""

    def __init__(self):
        self.keeper = Keeper()
        self.feed = Feed(LaneRow("lane", 0, 0, 0, "{}", 0, "[]"), WINDOW, self.keeper, 0)
        self.taken = []
        self.seq = 0
        self.blocked = 0
        self.feed.attach(lambda event, seq, *facts: self.taken.append(seq), lambda: self.blocked)

    def commit(self, events):
        self.feed.row()
        self.feed.saved(self.feed.unsaved)
        for _ in range(events):
            self.seq += 1
            self.feed.accepted(self.seq, self.feed.next_number(), Event("publish_start", 1), "")

    def settle(self):
        for seq in self.taken:
            self.feed.settled_one(seq)
        self.taken.clear()


@pytest.fixture
def log():
    return Log()


def widen(log):
    for size in (WINDOW, 2 * WINDOW, 4 * WINDOW):
        log.commit(size)
        assert len(log.taken) == size
        log.settle()


def test_a_lane_that_keeps_up_is_handed_ever_larger_commits_from_memory(log):
    widen(log)
    assert log.keeper.pages == 0


def test_the_window_is_never_wider_than_its_bound(log):
    size = WINDOW
    while size <= WIDEST:
        log.commit(size)
        log.settle()
        size *= 2
    log.commit(WIDEST + 1)
    assert len(log.taken) == WIDEST
    assert log.keeper.pages == 0  # it has room for none


def test_a_lane_that_settles_nothing_gets_its_narrow_window_back(log):
    widen(log)
    log.commit(1)
    for _ in range(4):
        log.commit(0)
    log.settle()
    log.commit(0)  # one settled of eight: neither wider nor narrower
    log.commit(WINDOW + 1)
    assert len(log.taken) == WINDOW


def test_what_waits_for_another_try_and_what_comes_after_it_takes_no_place_in_the_window(log):
    log.commit(WINDOW)
    assert len(log.taken) == WINDOW
    for seq in log.taken[: WINDOW - 1]:
        log.feed.tried(seq, 1, "error")
    log.blocked = WINDOW - 1
    log.commit(WINDOW - 1)
    assert len(log.taken) == 2 * WINDOW - 1
    log.blocked = 10**6
    log.commit(5000)
    assert len(log.taken) <= 2 * WIDEST + WINDOW, "but there is a bound to that"


def test_what_was_merely_handed_out_is_not_marked_after_an_orderly_stop(log):
    log.commit(3)
    log.feed.tried(1, 2, "timeout")
    log.feed.detach([3])
    log.feed.leave(3, 0, "recovery")
    assert sorted(log.feed.pinned) == [1, 2, 3]
    row = log.feed.row()
    again, found = Feed(row, WINDOW, log.keeper, 3), []
    again.attach(lambda event, seq, born, attempts, reason: found.append((seq, attempts, reason)), lambda: 0)
    one = Row(0, "evt_1", "publish_start", 1, "", "", 1, "info", "", '{"lane":1}', b'{"data":{}}')
    rows = [one._replace(seq=seq) for seq in (1, 2, 3)]
    again.paged(Page(rows, 3), 0)
    assert found == [(1, 2, "timeout"), (2, 0, ""), (3, 0, "recovery")]
    crashed, found = Feed(row._replace(suspects=2048), WINDOW, log.keeper, 3), []
    crashed.attach(lambda event, seq, born, attempts, reason: found.append((seq, attempts, reason)), lambda: 0)
    crashed.paged(Page(rows, 3), 0)
    assert found == [(1, 2, "timeout"), (2, 0, "recovery"), (3, 0, "recovery")]


def row(seq, number):
    event = Event("publish_start", 1)
    return Row(seq, event.id, event.type, 1, "", "", 0, "info", "", f'{{"lane":{number}}}', event.json())


def fallen_behind(log):
    """As many events as the window has are under way, and one more is in the file."""
    log.commit(WINDOW + 1)
    log.settle()
    assert log.feed.wish[0] == WINDOW


def test_what_a_page_has_brought_is_not_handed_out_once_more_when_it_is_accepted(log):
    fallen_behind(log)
    number = log.feed.next_number()
    log.feed.paged(Page([row(WINDOW + 1, WINDOW + 1), row(WINDOW + 2, number)], WINDOW + 2), WINDOW)
    log.feed.accepted(WINDOW + 2, number, Event("publish_start", 1), "")
    assert log.taken == [WINDOW + 1, WINDOW + 2]


def test_a_page_that_was_asked_for_before_another_lane_attached_loses_nothing_that_was_left(log):
    log.commit(WINDOW + 1)
    for seq in log.taken[:5]:
        log.feed.settled_one(seq)
    assert log.feed.wish[0] == WINDOW
    log.feed.detach()
    log.feed.attach(lambda event, seq, *facts: log.taken.append(seq), lambda: 0)
    log.taken.clear()
    log.feed.paged(Page([row(WINDOW + 1, WINDOW + 1)], WINDOW + 1), WINDOW)
    assert log.taken == []
    log.feed.paged(Page([row(seq, seq) for seq in range(6, WINDOW + 2)], WINDOW + 1), log.feed.wish[0])
    assert log.taken == [6, 7, 8, 9]


def test_numbers_that_were_shed_before_and_after_a_restart_are_no_gap():
    keeper, taken = Keeper(), []
    feed = Feed(LaneRow("lane", 0, 7, 3, "{}", 0, "[[5,7]]"), WINDOW, keeper, 4)
    feed.attach(lambda event, seq, *facts: taken.append(seq), lambda: 0)
    assert feed.shed(3) == 8
    feed.paged(Page([row(seq, seq) for seq in range(1, 5)], 4), 0)
    feed.accepted(5, feed.next_number(), Event("publish_start", 1), "")
    assert taken == [1, 2, 3, 4, 5] and feed.numbered == 11


def test_no_more_are_handed_out_than_a_crash_could_leave_in_doubt(log):
    log.commit(0)
    handed = 0
    for seq in range(1, UNSAVED + 10):
        log.feed.accepted(seq, log.feed.next_number(), Event("publish_start", 1), "")
        handed += len(log.taken)
        log.settle()
    assert handed == UNSAVED


def test_what_was_handed_out_while_the_row_was_written_is_not_saved(log):
    log.commit(5)
    under_way = log.feed.unsaved
    log.feed.accepted(6, log.feed.next_number(), Event("publish_start", 1), "")
    log.feed.saved(under_way)
    assert log.feed.unsaved == 1


def test_an_event_from_the_file_is_the_event_that_went_in():
    data = {"text": 'ä"\\', "number": 1.5, "list": [1, {"a": None}], "flag": True}
    event = Event("publish_start", 7, "c1", "live/a", data, "evt_1", 3, "warning")
    row = Row(1, event.id, event.type, 7, "c1", "live/a", 3, "warning", "", "{}", event.json())
    again = event_of(row)
    assert again == event
    assert again.json() == event.json()
    with pytest.raises(TypeError):
        again.data["number"] = 2
