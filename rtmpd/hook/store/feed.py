"""One lane's way through the log: what it has been handed, what it has settled, what is still to come.

A lane that keeps up is handed each event when it is on the disk, from memory. One that does not is handed a small
window, and reads on from the file as it settles: what waits costs it no memory. Nothing here waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

from ...event.event import Event, copied
from ..redelivery import RECOVERY
from .schema import DeadRow, LaneRow, Page, Row

#: Takes an event: its seq in the log, the Unix time of its birth, tries made, and why it may be known already.
Take = Callable[[Event, int, int, int, str], None]

_UNSAVED = 2048  # so many may be sent twice after a crash: what was settled since the lane was last written down


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
    """The feed of the lane ``row`` names. ``window`` events are handed out at once at most; after a crash (``suspect``)
    the first ones may have been delivered by the process that died.

    ``numbered`` is the last number given to an event of this lane: they are gap-free. ``backlog`` counts what is not
    settled. No method switches.
    """

    __slots__ = (
        "_again",
        "_at",
        "_caught_up",
        "_keeper",
        "_loaded",
        "_newest",
        "_paging",
        "_read",
                "_suspects",
        "_take",
        "_unsaved",
        "_window",
        "id",
        "numbered",
        "settled",
        "window",
    )

    def __init__(self, row: LaneRow, window: int, keeper: Keeper, newest: int, suspect: bool) -> None:
        self.id = row.id
        self.window = window
        self.numbered = row.numbered
        self.settled = row.settled
        self._keeper = keeper
        self._read = row.read  # everything up to here has been handed out
        self._window: dict[int, int] = {}  # seq: tries, of what is handed out and not settled
        self._again: dict[int, int] = {int(seq): tries for seq, tries in json.loads(row.pending).items()}
        self._at = self._start()
        self._newest = newest
        self._caught_up = self._at >= newest
        self._suspects = _UNSAVED if suspect else 0
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
        self._newest = seq
        if seq <= self._at:
            return  # a page has brought it
        if self._caught_up and self._has_room():
            self._at = self._read = seq
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
        self._keeper.has_settled(self)
        if not self._caught_up:
            self._fill()

    def tried(self, seq: int, tries: int) -> None:
        """What was handed out has failed so many times, and is held for another try."""
        if seq in self._window:
            self._window[seq] = tries
            self._keeper.has_settled(self)

    def skip(self, upto: int, count: int) -> None:
        """Give up what has not been handed out up to that seq: so many events."""
        self.settled += count
        self._read = max(self._read, upto)
        self._at = max(self._at, self._read) if not self._again else self._at
        self._caught_up = self._at >= self._newest
        self._keeper.has_settled(self)
        self._fill()

    # --- reading --------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        return self._take is not None and len(self._window) < self.window and self._unsaved < _UNSAVED

    def _fill(self) -> None:
        if self._caught_up or self._paging or not self._has_room() or len(self._window) > self.window // 2:
            return
        self._paging = True
        self._keeper.wants_page(self)

    @property
    def wish(self) -> tuple[int, int]:
        """What to read for ``paged``: from above which seq, and how many."""
        return self._at, self.window - len(self._window)

    def paged(self, page: Page | None, from_seq: int) -> None:
        """What ``wish`` asked for; None if nothing could be read."""
        self._paging = False
        if page is None or from_seq != self._at:  # it was detached or skipped meanwhile
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
            self._miss(number - 1)
        self._hand(copied(event_of(row), Event, number), row.seq, tries, doubt or row.doubt)

    def _look_for_gap(self) -> None:
        """When all that there was at the start has been read, no number of then may be missing."""
        seq, number = self._loaded
        if self._at >= seq and number:
            self._miss(number)
            self._loaded = (seq, 0)

    def _forget_again(self) -> None:
        """What was handed out before and was not read again is not in the file any more."""
        if lost := len(self._again):
            self._again.clear()
            first = self.settled + len(self._window) + 1
            self.settled += lost
            self._keeper.gap(self, first, first + lost - 1, lost, "expired")

    def _miss(self, upto: int) -> None:
        """Numbers up to that one are handed out or settled, or else they are not in the file any more: those of a hook
        that was away for longer than events are kept."""
        expected = self.settled + len(self._window) + len(self._again) + 1
        if upto >= expected:
            self.settled += upto - expected + 1
            self._keeper.gap(self, expected, upto, upto - expected + 1, "expired")

    def _hand(self, event: Event, seq: int, tries: int, doubt: str) -> None:
        if self._take is None:
            self._again[seq] = tries
            return
        if self._suspects and seq <= self._loaded[0]:
            self._suspects -= 1
            doubt = doubt or RECOVERY
        self._window[seq] = tries
        self._unsaved += 1
        self._take(event, seq, event.timestamp, tries, doubt)

    # --- writing down ---------------------------------------------------------------------------

    def row(self) -> LaneRow:
        """The feed as it is to be written down now."""
        pending = json.dumps({**self._window, **self._again}, separators=(",", ":"))
        return LaneRow(self.id, self.read, self.numbered, self.settled, pending)

    @property
    def unsaved(self) -> int:
        """How many were handed out that ``saved`` does not know of."""
        return self._unsaved

    def saved(self, unsaved: int) -> None:
        """A row that was made when ``unsaved`` had that value is on the disk."""
        self._unsaved -= unsaved
        self._fill()


def event_of(row: Row) -> Event:
    """The event of a row; ``seq`` is that of its stream."""
    return _event(row, row.stream_seq)


def event_of_dead(row: DeadRow) -> Event:
    """The event of a dead letter; ``seq`` is that of its lane."""
    return _event(row, row.seq)


def _event(row: Row | DeadRow, seq: int) -> Event:
    data = json.loads(row.body)["data"]
    event = Event(row.type, row.timestamp, row.conn_id, row.stream_key, data, row.id, seq, row.severity)
    object.__setattr__(event, "_json", row.body)  # byte for byte what it was
    return event
