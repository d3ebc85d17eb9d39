"""One lane's way through the log: what it has been handed, what it has settled, what is still to come.

A lane that keeps up is handed each event when it is on the disk, from memory. One that does not is handed a small
window, and reads on from the file as it settles: what waits costs it no memory. Nothing here waits.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ...event.event import Event, copied, restored
from ..redelivery import RECOVERY
from .schema import UNSAVED, DeadRow, LaneRow, Page, Row

#: Takes an event: its seq in the log, the Unix time of its birth, tries made, and why it may be known already.
Take = Callable[[Event, int, int, int, str], None]


_WIDEST = 1024


class Keeper(Protocol):
    """What a feed asks of the log. None of it switches."""

    @property
    def accepted(self) -> int:
        """The seq up to which everything is on the disk."""

    def wants_page(self, feed: Feed) -> None:
        """Call ``paged`` when the next events have been read."""

    def has_settled(self, feed: Feed) -> None:
        """Write the feed down soon."""

    def gap(self, feed: Feed, from_seq: int, to_seq: int, count: int, reason: str) -> None:
        """Have it told that the feed will not get these numbers."""


class Feed:
    """The feed of the lane ``row`` names. ``window`` events are handed out at once at most; after a crash the first
    ones may have been delivered by the process that died (``LaneRow.suspects``).

    While a lane settles half of its window from one commit to the next the window is widened, up to ``_WIDEST``: else
    it would be full at each commit, and what the lane could have from memory would be read from the file. It narrows
    again with a lane that settles nothing.

    ``numbered`` is the last number given to an event of this lane: they are gap-free. ``backlog`` counts what is not
    settled. While it ``is_parked`` no lane uses it: what waits for one is kept only as long as settled events are. No
    method switches.
    """

    __slots__ = (
        "_again",
        "_at",
        "_caught_up",
        "_keeper",
        "_loaded",
        "_newest",
        "_newest_number",
        "_paging",
        "_passed",
        "_read",
        "_settled_lately",
        "_shed",
        "_suspects",
        "_take",
        "_unsaved",
        "_widened",
        "_window",
        "id",
        "is_parked",
        "numbered",
        "settled",
        "window",
    )

    def __init__(self, row: LaneRow, window: int, keeper: Keeper, newest: int) -> None:
        self.id = row.id
        self.window = window
        self.is_parked = True
        self.numbered = row.numbered
        self.settled = row.settled
        self._keeper = keeper
        self._read = row.read  # everything up to here has been handed out
        self._widened = 1  # times
        self._settled_lately = 0  # since the last commit
        self._window: dict[int, int] = {}  # seq: tries, of what is handed out and not settled
        self._again: dict[int, int] = {int(seq): tries for seq, tries in json.loads(row.pending).items()}
        self._shed: deque[list[int]] = deque(json.loads(row.shed))
        self._passed = self.settled + len(self._again) - sum(last - first + 1 for first, last in self._shed)
        self._at = self._start()
        self._newest, self._newest_number = newest, row.numbered
        self._caught_up = self._at >= newest
        self._suspects = row.suspects
        self._loaded = (newest, row.numbered)  # the last seq there was at the start, and the last number
        self._unsaved = 0
        self._paging = False
        self._take: Take | None = None

    def _start(self) -> int:
        """Where to read from: what was handed out before comes again."""
        return min(self._again) - 1 if self._again else self._read

    @property
    def backlog(self) -> int:
        return self.numbered - self.settled

    @property
    def read(self) -> int:
        """Up to this seq all is settled but ``pinned``."""
        return max(self._read, self._keeper.accepted) if self._caught_up else self._read

    @property
    def pinned(self) -> list[int]:
        return [*self._window, *self._again]

    @property
    def is_busy(self) -> bool:
        """Whether something is handed out."""
        return bool(self._window)

    def next_number(self) -> int:
        """A number for one more event of this lane."""
        self.numbered += 1
        return self.numbered

    def attach(self, take: Take) -> None:
        """From now on events go there."""
        if self.is_parked:
            self.is_parked = False
            self._loaded = self._newest, max(self._newest_number, self._loaded[1])
        self._take = take
        self._look_for_gap()
        self._fill()

    def detach(self) -> None:
        """Hand out no more. What is handed out and not settled comes again to whoever is attached next."""
        self._take = None
        for seq, tries in self._window.items():
            self._again[seq] = tries
        self._window.clear()
        self._at = self._start()
        self._caught_up = self._at >= self._newest
        self._keeper.has_settled(self)

    def accepted(self, seq: int, number: int, event: Event, doubt: str) -> None:
        """An event for this lane is on the disk."""
        self._newest, self._newest_number = seq, number
        if seq <= self._at:
            return  # a page has brought it
        if self._caught_up and self._has_room():
            self._at = self._read = seq
            self._pass(number)
            self._hand(copied(event, Event, number), seq, 0, doubt)
        else:
            if self._caught_up:
                self._at = self._read = seq - 1  # everything before it has been handed out
                self._caught_up = False
            self._fill()

    def settled_one(self, seq: int) -> None:
        """What was handed out has come to its end, whichever."""
        if self._window.pop(seq, None) is None and self._again.pop(seq, None) is None:
            return
        self.settled += 1
        self._settled_lately += 1
        self._keeper.has_settled(self)
        if not self._caught_up:
            self._fill()

    def tried(self, seq: int, tries: int) -> None:
        """What was handed out has failed so many times, and is held for another try."""
        if seq in self._window:
            self._window[seq] = tries
            self._keeper.has_settled(self)

    def shed(self, count: int) -> int:
        """Give so many numbers to events that nobody will get; the first of them."""
        first = self.numbered + 1
        self.numbered += count
        self.settled += count
        if self._shed and self._shed[-1][1] == first - 1:
            self._shed[-1][1] = self.numbered
        else:
            self._shed.append([first, self.numbered])
        return first

    def skip(self, upto: int, number: int) -> None:
        """Give up what has not been handed out up to that seq, which has that number (0 if there is none)."""
        self._miss(number, "store_full")
        self._read = max(self._read, upto)
        self._at = max(self._at, self._read) if not self._again else self._at
        self._caught_up = self._at >= self._newest
        self._keeper.has_settled(self)
        self._fill()

    @property
    def _most(self) -> int:
        """How many may be handed out now."""
        return self.window if self._widened == 1 else max(self.window, min(self.window * self._widened, _WIDEST))

    # --- reading --------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        return self._take is not None and len(self._window) < self._most and self._unsaved < UNSAVED

    def _fill(self) -> None:
        if self._caught_up or self._paging or not self._has_room() or len(self._window) > self._most // 2:
            return
        self._paging = True
        self._keeper.wants_page(self)

    @property
    def wish(self) -> tuple[int, int]:
        """What to read for ``paged``: from above which seq, and how many."""
        return self._at, self._most - len(self._window)

    def paged(self, page: Page | None, from_seq: int) -> None:
        """What ``wish`` asked for; None if nothing could be read."""
        self._paging = False
        if page is None or from_seq != self._at or self._take is None:  # it was detached or skipped meanwhile
            self._fill()
            return
        for row in page.rows:
            self._at = row.seq
            if row.seq > self._read:
                self._read = row.seq
                self._hand_row(row, 0)
            elif row.seq in self._again:
                self._hand_row(row, self._again.pop(row.seq), RECOVERY)
        self._at = page.read_to
        if self._at >= self._read:
            self._read = self._at
            self._forget_again()
        self._caught_up = self._at >= self._newest
        self._look_for_gap()
        self._fill()

    def _hand_row(self, row: Row, tries: int, doubt: str = "") -> None:
        number = json.loads(row.routes)[self.id]
        if not doubt:
            self._pass(number)
        self._hand(_event(row, number), row.seq, tries, doubt or row.doubt)

    def _look_for_gap(self) -> None:
        """When all that there was at the start has been read, no number of then may be missing."""
        seq, number = self._loaded
        if self._at >= seq:
            self._suspects = 0
            self._miss(number, "expired")
            self._loaded = (seq, 0)

    def _forget_again(self) -> None:
        """What was handed out before and was not read again is not in the file any more."""
        if lost := len(self._again):
            self._again.clear()
            self.settled += lost
            self._keeper.gap(self, self._passed - lost + 1, self._passed, lost, "expired")

    def _pass(self, number: int) -> None:
        """The event with that number is handed out now."""
        self._miss(number - 1, "expired")
        self._passed = number

    def _miss(self, upto: int, reason: str) -> None:
        """Numbers up to that one are passed: handed out, or shed, or else they are given up now. Those of a hook that
        was away for longer than events are kept are not in the file any more."""
        if upto <= self._passed:
            return
        lost = upto - self._passed
        while self._shed and self._shed[0][0] <= upto:
            first, last = self._shed.popleft()
            lost -= min(last, upto) - first + 1
            if last > upto:
                self._shed.appendleft([upto + 1, last])
        first, self._passed = self._passed + 1, upto
        if lost:
            self.settled += lost
            self._keeper.gap(self, first, upto, lost, reason)

    def _hand(self, event: Event, seq: int, tries: int, doubt: str) -> None:
        assert self._take
        if self._suspects and not doubt and seq <= self._loaded[0]:
            self._suspects -= 1
            doubt = RECOVERY
        self._window[seq] = tries
        self._unsaved += 1
        self._take(event, seq, event.timestamp, tries, doubt)

    # --- writing down ---------------------------------------------------------------------------

    def row(self) -> LaneRow:
        """The feed as it is to be written down now."""
        pending = json.dumps({**self._window, **self._again}, separators=(",", ":"))
        shed = json.dumps([*self._shed], separators=(",", ":"))
        return LaneRow(self.id, self.read, self.numbered, self.settled, pending, self._suspects, shed)

    @property
    def unsaved(self) -> int:
        """How many were handed out that ``saved`` does not know of."""
        return self._unsaved

    def saved(self, unsaved: int) -> None:
        """A row that was made when ``unsaved`` had that value is on the disk."""
        self._unsaved -= unsaved
        settled, self._settled_lately = self._settled_lately, 0
        if settled * 2 >= self._most:
            self._widened = min(self._widened * 2, _WIDEST)
        elif self._window and not settled:
            self._widened = max(self._widened // 2, 1)
        self._fill()


def event_of(row: Row) -> Event:
    """The event of a row; ``seq`` is that of its stream."""
    return _event(row, row.stream_seq)


def event_of_dead(row: DeadRow) -> Event:
    """The event of a dead letter; ``seq`` is that of its lane."""
    return _event(row, row.seq)


def _event(row: Row | DeadRow, seq: int) -> Event:
    return restored(row.type, row.timestamp, row.conn_id, row.stream_key, row.id, seq, row.severity, row.body)
