"""The position of one lane in the log: a cursor, and the exceptions to it.

Where an event of the lane can be, by its seq in the log:

===============  =====================================================  =============================================
place            holds                                                  leaves it by
===============  =====================================================  =============================================
ahead            seqs above the cursor: not handed out                  ``accepted`` from memory, ``paged`` from the
                                                                        file, ``skip``
``_handed``      handed out, and not settled: it waits in the lane, is  ``settled_one``, ``detach``, ``leave``
                 under way or is held for another try
``_left``        handed out once, and left by its lane: it comes again  ``paged``, to the lane that attaches next
settled          nothing: every other seq up to the cursor              retention deletes it in time
===============  =====================================================  =============================================

The cursor moves when an event is handed out, so a restart reads ``_handed`` and ``_left`` again and then goes on above
the cursor. Neither grows with what waits: a lane that keeps up (``_is_live``) gets each event from memory as it is on
the disk; one that does not has a small window of events, and reads on from the file as it settles them. What is held
for another try, and what waits behind it, does not count for the window, so that an event that the endpoint cannot
stand does not hold up the others; but there is a bound to that too.

Greenlets: ``accepted``, ``row`` and ``saved`` run in the log's writer, ``paged`` in its reader, ``attach``, ``detach``
and ``skip`` in whoever reloads, stops or makes room, the rest in the lane's workers. No method switches.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from ...event.event import Event, copied, restored
from ..redelivery import RECOVERY
from .schema import UNSAVED, DeadRow, LaneRow, Page, Row

if TYPE_CHECKING:
    from .log import EventLog

#: Takes an event: its seq in the log, the Unix time of its birth, the attempts made, and why it may have been received
#: before (``redelivery.REASONS``).
Take = Callable[[Event, int, int, int, str], None]

#: How many of the events that were handed out wait for others that are held for another try.
Blocked = Callable[[], int]

_MAX_WINDOW = 1024
_MAX_BLOCKED = 1024


class Tries(NamedTuple):
    """The attempts that an event has behind it, and why it may have been received before."""

    attempts: int = 0
    reason: str = ""


_FRESH = Tries()


class Feed:
    """The feed of the lane that ``row`` names. ``window`` events are handed out at once at most; after a crash the
    first ones may have been delivered by the process that died (``LaneRow.suspects``).

    While a lane settles half of its window from one commit to the next the window is widened, up to ``_MAX_WINDOW``:
    else it would be full at each commit, and what the lane could have from memory would be read from the file. It
    narrows again with a lane that settles nothing.

    ``numbered`` is the last number given to an event of this lane: they are gap-free. ``backlog`` counts what is not
    settled. While it ``is_parked`` no lane uses it: what waits for one is kept only as long as settled events are.
    """

    __slots__ = (
        "_blocked",
        "_cursor",
        "_handed",
        "_is_live",
        "_left",
        "_loaded",
        "_log",
        "_newest",
        "_newest_number",
        "_paging",
        "_passed",
        "_scan",
        "_settled_lately",
        "_shed",
        "_suspects",
        "_take",
        "_unsaved",
        "_widened",
        "_written",
        "id",
        "is_parked",
        "numbered",
        "settled",
        "window",
    )

    def __init__(self, row: LaneRow, window: int, log: EventLog, newest: int) -> None:
        self.id = row.id
        self.window = window
        self.is_parked = True
        self.numbered = row.numbered
        self.settled = row.settled
        self._log = log
        self._cursor = row.cursor  # everything up to here has been handed out
        self._widened = 1  # times
        self._settled_lately = 0  # since the last commit
        self._handed: dict[int, Tries] = {}
        self._left = _tries_of(row)
        # What a row says of both: kept as text, for there may be two thousand of them at every commit.
        self._written = {seq: _as_json(seq, tries) for seq, tries in self._left.items()}
        self._shed: deque[list[int]] = deque(json.loads(row.shed))
        self._passed = self.settled + len(self._left) - sum(last - first + 1 for first, last in self._shed)
        self._scan = self._start()  # where reading goes on: below the cursor while there is something left to read
        self._newest, self._newest_number = newest, row.numbered
        self._is_live = self._scan >= newest
        self._suspects = row.suspects
        self._loaded = (newest, row.numbered)  # the last seq there was at the start, and the last number
        self._unsaved = 0
        self._paging = False
        self._take: Take | None = None
        self._blocked: Blocked = lambda: 0

    def _start(self) -> int:
        """Where to read from: what was left comes again."""
        return min(self._left) - 1 if self._left else self._cursor

    # --- what the log and others ask ------------------------------------------------------------------

    @property
    def backlog(self) -> int:
        return self.numbered - self.settled

    @property
    def cursor(self) -> int:
        """Up to this seq all is settled but ``pinned``."""
        return max(self._cursor, self._log.accepted) if self._is_live else self._cursor

    @property
    def pinned(self) -> list[int]:
        return [*self._handed, *self._left]

    def next_number(self) -> int:
        """A number for one more event of this lane."""
        self.numbered += 1
        return self.numbered

    # --- the lane's side --------------------------------------------------------------------------------

    def attach(self, take: Take, blocked: Blocked) -> None:
        """From now on events go to ``take``."""
        if self.is_parked:
            self.is_parked = False
            self._loaded = self._newest, max(self._newest_number, self._loaded[1])
        self._take = take
        self._blocked = blocked
        self._scan = self._start()
        self._is_live = self._scan >= self._newest
        self._look_for_gap()
        self._fill()

    def detach(self, under_way: Iterable[int] = ()) -> None:
        """Hand out no more. What was handed out and is neither settled nor ``under_way`` comes again to whoever
        attaches next, as if it had not been handed out; what is under way is still to be settled or to be left
        (``leave``)."""
        self._take = None
        kept = set(under_way)
        for seq in [seq for seq in self._handed if seq not in kept]:
            self._left[seq] = self._handed.pop(seq)
        self._scan = self._start()
        self._is_live = self._scan >= self._newest
        self._log.has_settled(self)

    def settled_one(self, seq: int) -> None:
        """What was handed out has come to its end, whichever."""
        if self._handed.pop(seq, None) is None and self._left.pop(seq, None) is None:
            return
        del self._written[seq]
        self.settled += 1
        self._settled_lately += 1
        self._log.has_settled(self)
        if not self._is_live:
            self._fill()

    def tried(self, seq: int, attempts: int, reason: str) -> None:
        """What was handed out has failed, and is held for another try."""
        if seq in self._handed:
            tries = self._handed[seq] = Tries(attempts, reason)
            self._written[seq] = _as_json(seq, tries)
            self._log.has_settled(self)
            self._fill()

    def leave(self, seq: int, attempts: int, reason: str) -> None:
        """What was under way when the lane was detached is not settled: it comes again."""
        if self._handed.pop(seq, None) is not None or seq in self._left:
            tries = self._left[seq] = Tries(attempts, reason)
            self._written[seq] = _as_json(seq, tries)
            self._log.has_settled(self)

    def refill(self) -> None:
        """The lane goes on after a pause."""
        self._fill()

    # --- what is not handed out -------------------------------------------------------------------------

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
        self._cursor = max(self._cursor, upto)
        self._scan = max(self._scan, self._cursor) if not self._left else self._scan
        self._is_live = self._scan >= self._newest
        self._log.has_settled(self)
        self._fill()

    # --- reading --------------------------------------------------------------------------------------

    def accepted(self, seq: int, number: int, event: Event, reason: str) -> None:
        """An event for this lane is on the disk."""
        self._newest, self._newest_number = seq, number
        if seq <= self._scan:
            return  # a page has brought it
        if self._is_live and self._room() > 0:
            self._scan = self._cursor = seq
            self._pass(number)
            self._hand(copied(event, Event, number), seq, Tries(0, reason) if reason else _FRESH)
        else:
            if self._is_live:
                self._scan = self._cursor = seq - 1  # everything before it has been handed out
                self._is_live = False
            self._fill()

    @property
    def _limit(self) -> int:
        """How many may be handed out now, without those that wait for others that are held."""
        return self.window if self._widened == 1 else max(self.window, min(self.window * self._widened, _MAX_WINDOW))

    def _room(self) -> int:
        """How many more may be handed out."""
        if self._take is None or self._unsaved >= UNSAVED:
            return 0
        return self._limit - len(self._handed) + min(self._blocked(), _MAX_BLOCKED)

    def _fill(self) -> None:
        if not self._is_live and not self._paging and self._room() >= max(self._limit // 2, 1):
            self._paging = True
            self._log.wants_page(self)

    @property
    def wish(self) -> tuple[int, int]:
        """What to read for ``paged``: from above which seq, and how many."""
        return self._scan, max(self._room(), 1)

    def paged(self, page: Page | None, from_seq: int) -> None:
        """What ``wish`` asked for; None if nothing could be read."""
        self._paging = False
        if page is None or from_seq != self._scan or self._take is None:  # it was detached or skipped meanwhile
            self._fill()
            return
        for row in page.rows:
            self._scan = row.seq
            if row.seq > self._cursor:
                self._cursor = row.seq
                number = json.loads(row.routes)[self.id]
                self._pass(number)
                self._hand(_event(row, number), row.seq, Tries(0, row.doubt) if row.doubt else _FRESH)
            elif row.seq in self._left:
                tries = self._left.pop(row.seq)
                event = _event(row, json.loads(row.routes)[self.id])
                self._hand(event, row.seq, tries if tries.reason else Tries(tries.attempts, row.doubt))
        self._scan = page.read_to
        if self._scan >= self._cursor:
            self._cursor = self._scan
            self._forget_left()
        self._is_live = self._scan >= self._newest
        self._look_for_gap()
        self._fill()

    def _look_for_gap(self) -> None:
        """When all that there was at the start has been read, no number of then may be missing."""
        seq, number = self._loaded
        if self._scan >= seq:
            self._suspects = 0
            self._miss(number, "expired")
            self._loaded = (seq, 0)

    def _forget_left(self) -> None:
        """What was left and was not read again is not in the file any more."""
        if lost := len(self._left):
            for seq in self._left:
                del self._written[seq]
            self._left.clear()
            self.settled += lost
            self._log.gap(self, self._passed - lost + 1, self._passed, lost, "expired")

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
            self._log.gap(self, first, upto, lost, reason)

    def _hand(self, event: Event, seq: int, tries: Tries) -> None:
        assert self._take
        if self._suspects and not tries.reason and seq <= self._loaded[0]:
            self._suspects -= 1
            tries = Tries(tries.attempts, RECOVERY)
        self._handed[seq] = tries
        self._written[seq] = _as_json(seq, tries)
        self._unsaved += 1
        self._take(event, seq, event.timestamp, tries.attempts, tries.reason)

    # --- writing down ---------------------------------------------------------------------------------

    def row(self) -> LaneRow:
        """The feed as it is to be written down now."""
        pending = ",".join(self._written.values())
        shed = json.dumps([*self._shed], separators=(",", ":"))
        return LaneRow(self.id, self.cursor, self.numbered, self.settled, f"{{{pending}}}", self._suspects, shed)

    @property
    def unsaved(self) -> int:
        """How many were handed out that ``saved`` does not know of."""
        return self._unsaved

    def saved(self, unsaved: int) -> None:
        """A row that was made when ``unsaved`` had that value is on the disk."""
        self._unsaved -= unsaved
        settled, self._settled_lately = self._settled_lately, 0
        if settled * 2 >= self._limit:
            self._widened = min(self._widened * 2, _MAX_WINDOW)
        elif self._handed and not settled:
            self._widened = max(self._widened // 2, 1)
        self._fill()


def _as_json(seq: int, tries: Tries) -> str:
    return f'"{seq}":null' if tries is _FRESH else f'"{seq}":[{tries.attempts},"{tries.reason}"]'


def _tries_of(row: LaneRow) -> dict[int, Tries]:
    """What a lane had left, or had in its hands when its process ended. After a crash nobody knows which of those have
    been sent, so every one may have been received; 0.1 wrote only the number of attempts, and did not know either. null
    is an event that was merely handed out."""
    unknown = RECOVERY if row.suspects >= UNSAVED else ""
    found: dict[int, Tries] = {}
    for seq, value in json.loads(row.pending).items():
        attempts, reason = (value, RECOVERY) if isinstance(value, int) else value or _FRESH
        found[int(seq)] = Tries(attempts, reason or unknown)
    return found


def event_of(row: Row) -> Event:
    """The event of a row; ``seq`` is that of its stream."""
    return _event(row, row.stream_seq)


def event_of_dead(row: DeadRow) -> Event:
    """The event of a dead letter; ``seq`` is that of its lane."""
    return _event(row, row.seq)


def _event(row: Row | DeadRow, seq: int) -> Event:
    return restored(row.type, row.timestamp, row.conn_id, row.stream_key, row.id, seq, row.severity, row.body)
