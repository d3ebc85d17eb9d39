"""The event log: what is accepted is on the disk, and every lane reads it at its own pace.

::

    append -> staged -> (one transaction on the log's thread, with what was settled meanwhile) -> accepted -> lanes

The next batch is what has come while the last one was written, so there is no timer between an event and the disk,
and the more come the cheaper each is. What lanes have settled rides along, or is written a moment later when
nothing comes. ``append`` never waits; only the log's own two greenlets do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import gevent
from gevent.event import Event as Signal
from gevent.threadpool import ThreadPool

from ...clock import Clock
from ...errors import StartError, StoreFault, StoreFull
from ...event.event import Event
from ...event.pairing import begins, ends
from ...log import logger
from ...settings import STORE_DROP_NEWEST, StoreSettings
from .database import Database
from .feed import Feed
from .room import Room
from .schema import Batch, DeadRow, GapRow, LaneRow, Row, SessionRow

_BATCH_EVENTS = 512
_BATCH_BYTES = 1 << 20
_SETTLE_S = 0.1
_RETRY_S = 1.0
_HANDED_AT_ONCE = 100
_NOTHING = Batch()

_log = logger("store")

T = TypeVar("T")

#: Takes the id of a lane and the data of an ``events_dropped`` about it. Never switches, never raises.
TellDropped = Callable[[str, dict[str, object]], None]


class _Staged:
    """An event that is not on the disk yet."""

    __slots__ = ("doubt", "event", "feeds", "numbers", "risen", "seq")

    def __init__(self, seq: int, event: Event, feeds: Sequence[Feed], doubt: str, risen: int) -> None:
        self.seq = seq
        self.event = event
        self.feeds = feeds
        self.doubt = doubt
        self.risen = risen
        self.numbers: list[int] = []

    def row(self) -> Row:
        """Numbers it for each of its lanes."""
        self.numbers = [feed.next_number() for feed in self.feeds]
        routes = ",".join([f'"{feed.id}":{number}' for feed, number in zip(self.feeds, self.numbers, strict=True)])
        event = self.event
        return Row(
            self.seq,
            event.id,
            event.type,
            event.timestamp,
            event.conn_id,
            event.stream_key,
            event.seq,
            event.severity,
            self.doubt,
            f"{{{routes}}}",
            event.json(),
        )

    def note_session(self, sessions: dict[str, SessionRow | None], begun: set[str]) -> None:
        """What it begins or ends is written in the transaction that writes it."""
        event = self.event
        subject = event.type, event.conn_id, event.stream_key, event.data
        if key := begins(*subject):
            begun.add(key)
            sessions[key] = SessionRow(
                key, event.id, event.type, event.timestamp, event.conn_id, event.stream_key, event.json()
            )
        elif (key := ends(*subject)) in begun:
            begun.discard(key)
            sessions[key] = None

    def hand_out(self) -> None:
        """It is on the disk."""
        for feed, number in zip(self.feeds, self.numbers, strict=True):
            feed.accepted(self.seq, number, self.event, self.doubt)


class EventLog:
    """The log in the file of ``settings``. Raises StartError if the file can not be used.

    ``left`` are the beginnings whose ends a crash has kept from being told, the latest first, ``alive_at`` the last
    sign of life before it. ``fault`` is what is wrong with the file now, "" if nothing is.
    """

    def __init__(self, settings: StoreSettings, clock: Clock, tell: TellDropped) -> None:
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self.database = Database(settings.path, settings.durability, settings.pages)
        try:
            loaded = self.database.load()
        except StoreFault as error:
            self.database.close(False)
            raise StartError(f"event store {settings.path}: {error}") from error
        self.left: list[SessionRow] = loaded.sessions
        self.alive_at = loaded.alive_at
        self._rows = {row.id: row for row in loaded.lanes}
        self._seq = loaded.last_seq
        self._accepted = loaded.last_seq  # the last seq that is on the disk
        self.feeds: dict[str, Feed] = {}
        self._staged: deque[_Staged] = deque()
        self._staged_bytes = 0
        self._batch = Batch()  # what the next transaction writes besides events and lanes
        self._dirty: dict[str, Feed] = {}
        self._sessions = {row.key for row in loaded.sessions}  # begun, and not ended
        self._shed: dict[str, int] = {}  # by lane: how many could not even be staged
        self._signal = Signal()  # there is something to write
        self._urgent = Signal()  # and it is not only what was settled
        self._closing = False
        self.fault = ""
        self.committed = self.commits = 0
        self.pool = ThreadPool(1)
        self.room = Room(settings, self, self.database, clock)
        self._pages: deque[Feed] = deque()
        self._page_signal = Signal()
        self._greenlets = [self._spawn("log-writer", self._write), self._spawn("log-reader", self._read)]
        self._greenlets.append(self._spawn("log-room", self.room.keep))

    @staticmethod
    def _spawn(name: str, run: Callable[[], None]) -> gevent.Greenlet[[], None]:
        greenlet = gevent.spawn(run)
        greenlet.name = name
        return greenlet

    # --- what others call ---------------------------------------------------------------------------

    def feed(self, lane: str, window: int) -> Feed:
        """The feed of that lane, as it was left; a new one begins with the next event."""
        feed = self.feeds.get(lane)
        if feed is None:
            row = self._rows.get(lane) or LaneRow(lane, self._seq, 0, 0, "{}", 0, "[]")
            feed = self.feeds[lane] = Feed(row, window, self, self._accepted)
            self.has_settled(feed)
        feed.window = window
        return feed

    @property
    def accepted(self) -> int:
        """The seq up to which everything is on the disk."""
        return self._accepted

    @property
    def staged(self) -> int:
        return len(self._staged)

    def append(self, event: Event, feeds: Sequence[Feed], doubt: str = "", risen: int = 0) -> None:
        """Accept the event for these lanes as soon as it is on the disk. Never switches, never raises.

        ``risen`` is the number of the dead letter that it was. When nothing can be written and as much waits as
        may, the event is shed, and a gap of the lanes' numbers tells so.
        """
        size = len(event.json())
        settings = self._settings
        refused = self.room.is_full and settings.full == STORE_DROP_NEWEST
        if refused or len(self._staged) >= settings.staged_events or self._staged_bytes >= settings.staged_bytes:
            for feed in feeds:
                self._shed[feed.id] = self._shed.get(feed.id, 0) + 1
            self._signal.set()
            return
        self._seq += 1
        self._staged_bytes += size
        self._staged.append(_Staged(self._seq, event, feeds, doubt, risen))
        self._signal.set()
        self._urgent.set()

    def forget_session(self, key: str) -> None:
        """What began under that key has ended, and no lane of the log wants to know."""
        if key in self._sessions:
            self._sessions.discard(key)
            self._batch.sessions[key] = None
            self._signal.set()

    def bury(self, row: DeadRow) -> None:
        """Write a dead letter, together with what it settles."""
        self._batch.dead.append(row)
        self._signal.set()
        self._urgent.set()

    def purge(self, numbers: Iterable[int]) -> None:
        """Delete dead letters."""
        self._batch.risen.extend(numbers)
        self._signal.set()
        self._urgent.set()

    def has_settled(self, feed: Feed) -> None:
        """Write the feed down soon (``feed.Keeper``)."""
        if not self._dirty:
            self._signal.set()
        self._dirty[feed.id] = feed

    def wants_page(self, feed: Feed) -> None:
        """Read the next events of the feed (``feed.Keeper``)."""
        self._pages.append(feed)
        self._page_signal.set()

    def ask(self, question: Callable[..., T], *values: object) -> T:
        """The answer of a method of ``database``. Raises StoreFault. Switches greenlets."""
        answer: T | StoreFault = self.pool.apply(_caught, (question, values))
        if isinstance(answer, StoreFault):
            raise answer
        return answer

    def gap(self, feed: Feed, from_seq: int, to_seq: int, count: int, reason: str) -> None:
        """Have it written and told that the feed will not get these numbers."""
        self._batch.gaps.append(GapRow(feed.id, self._clock.wall(), from_seq, to_seq, count, reason))
        _log.error("events given up", hook_id=feed.id, count=count, reason=reason, from_seq=from_seq, to_seq=to_seq)
        facts = {"hook_id": feed.id, "count": count, "reason": reason, "from_seq": from_seq, "to_seq": to_seq}
        self._tell(feed.id, facts)
        self._signal.set()

    def take_gaps(self) -> list[GapRow]:
        """Those that are not written yet, for whoever writes them now."""
        gaps, self._batch.gaps = self._batch.gaps, []
        return gaps

    def put_back_gaps(self, gaps: list[GapRow]) -> None:
        """They could not be written."""
        self._batch.gaps = gaps + self._batch.gaps

    def reconfigure(self, settings: StoreSettings) -> bool:
        """Use these bounds from now on; false if they ask for another file or durability, which takes a restart."""
        same = settings.path == self._settings.path and settings.durability == self._settings.durability
        if same:
            self._settings = self.room.settings = settings
        return same

    def close(self, wait_s: float) -> int:
        """Write what is staged, for at most that long; the number of events that could not be. Switches."""
        self._closing = True
        self._signal.set()
        self._urgent.set()
        gevent.joinall(self._greenlets[:1], timeout=wait_s)
        is_clean = self._greenlets[0].successful()
        gevent.killall(self._greenlets, block=True, timeout=_RETRY_S)
        try:
            gevent.with_timeout(_RETRY_S, self.pool.apply, self.database.close, (is_clean,))
        except (gevent.Timeout, StoreFault) as error:
            _log.error("event store not closed in order", error=error)
        return len(self._staged)

    # --- the writer ---------------------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            if not (self._staged or self._dirty or self._shed or self._batch != _NOTHING):
                if self._closing:
                    return
                self._signal.clear()
                self._signal.wait()
                continue
            if not (self._staged or self._closing):
                self._urgent.wait(_SETTLE_S)
            self._urgent.clear()
            self._commit()

    def _commit(self) -> None:
        batch, staged, unsaved = self._cut()
        self._until_written(batch)
        self.commits += 1
        self.committed += len(staged)
        for feed, count in unsaved:
            feed.saved(count)
        for done, each in enumerate(staged, 1):
            self._accepted = each.seq
            each.hand_out()
            if done % _HANDED_AT_ONCE == 0:
                gevent.sleep(0)  # others have media to move

    def _cut(self) -> tuple[Batch, list[_Staged], list[tuple[Feed, int]]]:
        """The next transaction, what it makes accepted, and what it says of the feeds."""
        staged: list[_Staged] = []
        room = _BATCH_BYTES
        while self._staged and len(staged) < _BATCH_EVENTS and room > 0:
            staged.append(self._staged.popleft())
            room -= len(staged[-1].event.json())
        self._staged_bytes -= _BATCH_BYTES - room
        batch, self._batch = self._batch, Batch()
        for each in staged:
            batch.events.append(each.row())
            each.note_session(batch.sessions, self._sessions)
            if each.risen:
                batch.risen.append(each.risen)
        dirty, self._dirty = self._dirty, {}
        for each in staged:
            dirty.update((feed.id, feed) for feed in each.feeds)
        self._number_the_shed(batch, dirty)
        batch.lanes = [feed.row() for feed in dirty.values()]
        batch.alive_at = self._clock.wall()
        return batch, staged, [(feed, feed.unsaved) for feed in dirty.values()]

    def _number_the_shed(self, batch: Batch, dirty: dict[str, Feed]) -> None:
        shed, self._shed = self._shed, {}
        for id, count in shed.items():
            feed = dirty[id] = self.feeds[id]
            first = feed.shed(count)
            self.gap(feed, first, feed.numbered, count, "store_not_writable" if self.fault else "store_full")
        if shed:  # they are told in the same transaction
            batch.gaps += self._batch.gaps
            self._batch.gaps = []

    def _until_written(self, batch: Batch) -> None:
        """Try until it is on the disk: nobody is told of it before."""
        while True:
            try:
                self.ask(self.database.commit, batch)
            except StoreFull as error:
                self._in_trouble(error)
                if not self.room.relieve():
                    gevent.sleep(_RETRY_S)
                batch.lanes = [self.feeds[row.id].row() for row in batch.lanes]
            except StoreFault as error:
                self._in_trouble(error)
                batch.may_be_written = True
                gevent.sleep(_RETRY_S)
            else:
                if self.fault:
                    self.fault = ""
                    _log.warning("event store works again", store=self._settings.path)
                return

    def _in_trouble(self, error: StoreFault) -> None:
        """Events wait in memory now, as many as may."""
        if self.fault != str(error):
            self.fault = str(error)
            _log.error("event store can not be written", store=self._settings.path, error=error, staged=self.staged)

    # --- the reader ---------------------------------------------------------------------------------

    def _read(self) -> None:
        while True:
            if not self._pages:
                self._page_signal.clear()
                self._page_signal.wait()
            feed = self._pages.popleft()
            after, limit = feed.wish
            page = None
            try:
                page = self.ask(self.database.page, feed.id, after, limit, self._accepted)
            except StoreFault as error:
                _log.error("event store can not be read", store=self._settings.path, error=error)
                gevent.sleep(_RETRY_S)
            feed.paged(page, after)


def _caught(question: Callable[..., T], values: tuple[object, ...]) -> T | StoreFault:
    """The answer or the fault: what is raised in a thread of gevent's is also printed, whoever handles it."""
    try:
        return question(*values)
    except StoreFault as fault:
        return fault
