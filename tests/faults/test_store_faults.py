"""What the auditor has found, one by one."""

from __future__ import annotations

from rtmpd.event.event import Event
from rtmpd.hook.store.feed import Feed
from rtmpd.hook.store.schema import UNSAVED, LaneRow, Page, Row
from tests.support.waiting import until

from .inproc import Noting, is_drained, managed, publish
from .producer import AT_LEAST_ONCE


class Keeper:
    """Does nothing that is asked, and notes the gaps."""

    accepted = 0

    def __init__(self):
        self.gaps = []

    def wants_page(self, feed):
        pass

    def has_settled(self, feed):
        pass

    def gap(self, feed, first, last, count, reason):
        self.gaps.append((first, last, count, reason))


def rows(*numbers):
    for number in numbers:
        event = Event("publish_start", 0, stream_key="live/a", id=f"evt_{number}")
        yield Row(number, event.id, event.type, 0, "", "live/a", 1, "info", "", f'{{"ops":{number}}}', event.json())


def page(*numbers):
    return Page(list(rows(*numbers)), numbers[-1])


def test_a_page_that_comes_when_nobody_takes_is_read_again():
    keeper, taken = Keeper(), []
    feed = Feed(LaneRow("ops", 0, 3, 0, "{}", 0, "[]"), 8, keeper, 3)
    feed.attach(lambda event, seq, *rest: taken.append(seq), lambda: 0)
    feed.detach()
    feed.paged(page(1, 2, 3), 0)
    feed.attach(lambda event, seq, *rest: taken.append(seq), lambda: 0)
    feed.paged(page(1, 2, 3), 0)
    assert (taken, keeper.gaps) == ([1, 2, 3], [])


def test_what_was_handed_out_before_takes_nothing_from_what_may_have_been():
    """After a crash the first ``suspects`` above ``read`` may be known, those that were pending besides."""
    keeper, reasons = Keeper(), []
    feed = Feed(LaneRow("ops", 2, 5, 0, '{"1":1,"2":0}', 2, "[]"), 8, keeper, 5)
    feed.attach(lambda event, seq, born, tries, reason: reasons.append(reason), lambda: 0)
    feed.paged(page(1, 2, 3, 4, 5), 0)
    assert reasons == ["recovery"] * 4 + [""]


def test_shed_numbers_are_counted_once_wherever_the_lane_is():
    keeper = Keeper()
    feed = Feed(LaneRow("ops", 0, 2, 0, "{}", 0, "[]"), 8, keeper, 2)
    feed.attach(lambda *event: None, lambda: 0)
    assert feed.shed(3) == 3
    feed.numbered += 2
    again = Feed(feed.row(), 8, keeper, 4)
    again.skip(4, 7)
    assert keeper.gaps == [(1, 7, 4, "store_full")]
    assert again.backlog == 0


def test_half_a_character_in_a_name_stops_nobody(tmp_path):
    received = []
    manager = managed(str(tmp_path / "events.db"), Noting("taker", received))
    manager.emit("publish_start", stream_key="live/\ud800", session_id="x\udfff")
    publish(manager, 0, 3)
    until(lambda: len(received) == 4 and is_drained(manager))
    manager.close(1)


def test_what_a_crash_left_in_doubt_stays_so_over_an_orderly_stop(tmp_path):
    path, received = str(tmp_path / "events.db"), []
    manager = managed(path, Noting("taker", received, held=True))
    publish(manager, 0, 300)
    until(lambda: manager.events.committed == 300)
    row = LaneRow("taker", 0, 300, 0, "{}", 0, "[]")  # as if none of the window had been written down
    manager.close(0)
    reopened = managed(path)
    reopened.register(Noting("opens the log", received), delivery=AT_LEAST_ONCE)
    write = reopened.events.database._connection.execute
    reopened.events.ask(lambda: write("INSERT OR REPLACE INTO lane VALUES (?,?,?,?,?,?,?)", row))
    reopened.events.ask(lambda: write("UPDATE lane SET suspects = ?", (UNSAVED,)))
    reopened.close(1)
    between = managed(path, Noting("taker", received, held=True))
    until(lambda: between.lanes["taker"].active)
    between.close(0)
    last = managed(path, Noting("taker", received))
    until(lambda: is_drained(last))
    last.close(1)
    assert len(received) == 300 and {line["doubt"] for line in received} == {"recovery"}
