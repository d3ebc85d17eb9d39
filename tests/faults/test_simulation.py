"""Feed and schedule by themselves, under random acts: every number comes to one end, in the order of its key."""

from __future__ import annotations

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rtmpd.event.event import Event
from rtmpd.hook.lane.schedule import Schedule
from rtmpd.hook.store.feed import Feed
from rtmpd.hook.store.schema import LaneRow, Page, Row

LANE = "ops"
SILENT = ""


class Process(RuleBasedStateMachine):
    """The disk (``rows``, ``saved``) outlives the process (``feed``, ``schedule``); ``sent`` is what was received."""

    def __init__(self):
        super().__init__()
        self.rows: list[Row] = []
        self.saved = LaneRow(LANE, 0, 0, 0, "{}", 0, "[]")
        self.accepted = 0
        self.sent: list[tuple[int, int, str]] = []  # seq, number, reason
        self.delivered: set[int] = set()
        self.dead: set[int] = set()
        self.gaps: list[tuple[int, int, int]] = []
        self.saved_gaps = 0
        self.crashes = 0
        self.failed: set[int] = set()
        self.start()

    # --- the keeper ---

    def wants_page(self, feed):
        self.asked = True

    def has_settled(self, feed):
        pass

    def gap(self, feed, first, last, count, reason):
        self.gaps.append((first, last, count))

    # --- acts ---

    def start(self):
        self.asked = False
        self.is_gone = False
        self.now = 0.0
        self.under_way = []
        self.feed = Feed(self.saved, 4, self, self.accepted)
        self.schedule = Schedule("key")
        self.attach()

    def attach(self):
        self.feed.attach(self.take, lambda: self.schedule.blocked)

    def take(self, event, seq, born_at, attempts, reason):
        delivery = self.schedule.add(event, 0.0, seq)
        delivery.reason = reason
        delivery.attempts = attempts

    def save(self):
        unsaved = self.feed.unsaved
        self.saved = self.feed.row()
        self.saved_gaps = len(self.gaps)
        self.feed.saved(unsaved)

    @rule(key=st.integers(0, 2), count=st.integers(1, 6))
    def accept(self, key, count):
        for _ in range(count):
            seq = self.accepted + 1
            number = self.feed.next_number()
            event = Event("publish_start", 0, stream_key=f"live/{key}", id=f"evt_{seq}")
            body = event.json()
            routes = json.dumps({LANE: number})
            self.rows.append(Row(seq, event.id, event.type, 0, "", event.stream_key, seq, "info", "", routes, body))
            self.save()  # rides in the same transaction
            self.accepted = seq
            self.feed.accepted(seq, number, event, "")

    @rule()
    def read(self):
        if self.asked:
            self.asked = False
            after, limit = self.feed.wish
            found = [row for row in self.rows if row.seq > after][:limit]
            full = len(found) == limit
            self.feed.paged(Page(found, found[-1].seq if full else self.accepted), after)

    @rule(count=st.integers(1, 3))
    def send(self, count):
        for _ in range(count):
            if delivery := self.schedule.take_due(self.now) or self.schedule.take():
                assert delivery.seq not in [other.seq for other in self.under_way], "nothing is sent twice at once"
                self.sent.append((delivery.seq, delivery.event.seq, delivery.reason))
                self.under_way.append(delivery)

    @rule(index=st.integers(0, 9), how=st.sampled_from(["taken", "taken", "fails", "dead"]))
    def answer(self, index, how):
        if not self.under_way:
            return
        delivery = self.under_way.pop(index % len(self.under_way))
        if how == "fails":
            delivery.reason = "error"
            self.failed.add(delivery.seq)
            delivery.attempts += 1
            if self.is_gone:
                self.feed.leave(delivery.seq, delivery.attempts, delivery.reason)
                self.schedule.done(delivery)
                return
            self.schedule.hold(delivery, self.now + delivery.attempts)
            self.feed.tried(delivery.seq, delivery.attempts, delivery.reason)
            return
        (self.delivered if how == "taken" else self.dead).add(delivery.event.seq)
        self.feed.settled_one(delivery.seq)
        self.schedule.done(delivery)

    @rule()
    def write_down(self):
        self.save()

    @rule(count=st.integers(1, 3))
    def shed(self, count):
        first = self.feed.shed(count)
        self.gap(self.feed, first, self.feed.numbered, count, "store_full")
        self.save()

    @rule(back=st.integers(0, 5))
    def give_up(self, back):
        upto = self.accepted - back
        ours = [row for row in self.rows if self.feed.cursor < row.seq <= upto]
        if ours:
            self.feed.skip(upto, json.loads(ours[-1].routes)[LANE])
            self.save()
            pinned = set(self.feed.pinned)
            self.rows = [row for row in self.rows if row.seq > upto or row.seq in pinned]

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def gone(self):
        """The endpoint is gone; what is under way is not waited for."""
        if not self.is_gone:
            self.is_gone = True
            for _ in self.schedule.clear():
                pass
            self.feed.detach([delivery.seq for delivery in self.under_way])

    @rule()
    def resume(self):
        """An operator has it deliver again, with the same schedule."""
        if self.is_gone:
            self.is_gone = False
            self.attach()

    @rule()
    def reload(self):
        """What is under way is waited for; the rest is left to the next lane."""
        for _ in self.schedule.clear():
            pass
        self.feed.detach([delivery.seq for delivery in self.under_way])
        for delivery in self.under_way:
            self.delivered.add(delivery.event.seq)
            self.feed.settled_one(delivery.seq)
        self.under_way = []
        self.is_gone = False
        self.schedule = Schedule("key")
        self.attach()

    @rule()
    def crash(self):
        self.crashes += 1
        self.saved = self.saved._replace(suspects=2048)
        del self.gaps[self.saved_gaps :]
        self.start()

    def teardown(self):
        self.resume()
        for _ in range(4 * len(self.rows) + 20):
            self.wait(100)
            self.read()
            self.send(3)
            while self.under_way:
                self.answer(0, "taken")
        given_up = {number for first, last, _ in self.gaps for number in range(first, last + 1)}
        ended = self.delivered | self.dead | given_up
        assert ended == set(range(1, self.feed.numbered + 1))
        assert self.feed.backlog == 0, "what is counted is what there is"

    @invariant()
    def copies_say_so_and_keys_are_in_order(self):
        silent = [seq for seq, _, reason in self.sent if reason == SILENT]
        assert len(silent) == len(set(silent))
        for seq, _, reason in self.sent:
            assert reason != "recovery" or self.crashes, "what is merely kept has not been received"
            assert reason != "error" or seq in self.failed
        keys = {row.seq: row.stream_key for row in self.rows}
        last: dict[str, int] = {}
        seen = set()
        for seq, number, _ in self.sent:
            if seq not in seen and seq in keys:
                seen.add(seq)
                assert number > last.get(keys[seq], 0)
                last[keys[seq]] = number


TestEveryNumberComesToOneEnd = Process.TestCase
TestEveryNumberComesToOneEnd.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
