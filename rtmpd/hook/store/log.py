"""The event log: accepted events are on disk, and every lane reads them at its own pace.

::

    append -> staged -> (one transaction on the log's thread, with what was settled meanwhile) -> accepted -> lanes

The next batch is what has come while the last one was written, so there is no timer between an event and the disk,
and the more come the cheaper each is. What lanes have settled rides along, or is written a moment later when
nothing comes. ``append`` never waits; only the log's own greenlets do.

While the file cannot be written events are staged in memory up to the bounds of the settings, and what comes on top is
given up and counted at once. ``fault`` says what is wrong. Every retry notes in the ``Reserve`` which numbers would be
lost if the process ended now; the next start reports those as a gap.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ParamSpec, TypeVar

import gevent
from gevent.event import Event as Signal
from gevent.threadpool import ThreadPool

from ...clock import Clock
from ...errors import StartError, StoreFault, StoreFull
from ...event.birth import time_of
from ...event.event import Event
from ...event.pairing import End, begins, end_by_crash, ends
from ...log import logger
from ...metrics.fault import STORE_FULL, STORE_NOT_READABLE, STORE_NOT_WRITABLE, Fault
from ...metrics.registry import Reading
from ...settings import STORE_DROP_NEWEST, StoreSettings
from ..threads import in_thread
from .database import Database
from .feed import Feed
from .retention import Retention
from .schema import Batch, DeadRow, GapRow, LaneRow, Row, SessionRow

_BATCH_EVENTS = 512
_BATCH_BYTES = 1 << 20
_SETTLE_S = 0.1
_RETRY_S = 1.0
_CLOSE_S = 1.0  # for each step of an end that is not in order
_REMIND_S = 60.0  # between two log lines about one trouble
_HANDED_AT_ONCE = 100
_NOTHING = Batch()
_RECORDING_PART = ".part"  # what a recording is called while it is written

_log = logger("store")

T = TypeVar("T")
P = ParamSpec("P")

#: Takes the id of a lane and the data of an ``events_dropped`` about it. Never raises.
ReportDropped = Callable[[str, dict[str, object]], None]


class _Staged:
    """An event that is not on the disk yet."""

    __slots__ = ("doubt", "event", "feeds", "numbers", "replayed", "seq")

    def __init__(self, seq: int, event: Event, feeds: Sequence[Feed], doubt: str, replayed: int) -> None:
        self.seq = seq
        self.event = event
        self.feeds = feeds
        self.doubt = doubt
        self.replayed = replayed
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
    """The log in the file of ``settings``. Raises StartError if the file cannot be used.

    A full disk does not raise: the log begins with ``fault`` set, stages what comes, and hands out nothing until
    the file can be written.

    ``fault`` is why the file cannot be written now, ``read_fault`` why it cannot be read, each "" if it can.
    """

    def __init__(self, settings: StoreSettings, clock: Clock, report_dropped: ReportDropped) -> None:
        self._settings = settings
        self._clock = clock
        self._report_dropped = report_dropped
        self.fault = self.read_fault = ""
        self._is_stuck = False  # the writer tries to write something, in vain
        self._remind_at = 0.0
        self.database = Database(settings.path, settings.durability, settings.pages)
        try:
            loaded = self.database.load()
        except StoreFault as error:
            self.database.close(False)
            raise StartError(f"event store {settings.path}: {error}") from error
        self._cut_short: list[SessionRow] = loaded.sessions
        self._alive_at = loaded.alive_at
        self._was_clean = loaded.is_clean
        self._rows = {row.id: row for row in loaded.lanes}
        self._noted = self.database.reserve.noted()  # numbers that the last process could not write
        self._noted_gaps: list[tuple[Feed, int, int, int]] = []
        self._has_note = bool(self._noted)
        self._seq = loaded.last_seq
        self._accepted = loaded.last_seq  # the last seq that is on the disk
        self.feeds: dict[str, Feed] = {}
        self._staged: deque[_Staged] = deque()
        self._staged_bytes = 0
        self._staged_for: Counter[str] = Counter()  # by lane: how many of these have no number yet
        self._writing: list[_Staged] = []  # those of the transaction that is under way
        self._batch = Batch()  # what the next transaction writes besides events and lanes
        self._dirty: dict[str, Feed] = {}
        self._sessions = {row.key for row in loaded.sessions}  # begun, and not ended
        self._shed: Counter[str] = Counter()  # by lane: how many could not even be staged, and have no number yet
        self._given_up: Counter[str] = Counter()  # by lane: how many are in gaps since the start
        self._signal = Signal()  # there is something to write
        self._urgent = Signal()  # and it is not only what was settled
        self._running = Signal()  # a crash would be noticed from now on, so that events may be handed out
        self._closing = False
        self.committed = self.commits = 0
        self.pool = ThreadPool(1)
        self.retention = Retention(settings, self, self.database, clock)
        self._pages: deque[Feed] = deque()
        self._page_signal = Signal()
        self._begin()
        self._greenlets = [self._spawn("log-writer", self._write), self._spawn("log-reader", self._read)]
        self._greenlets.append(self._spawn("log-retention", self.retention.run))

    def _begin(self) -> None:
        """Write that the log is in use. A full disk only delays that. Raises StartError."""
        try:
            try:
                self.database.mark_running(self._was_clean)
            except StoreFull:
                if not self.database.reserve.release():
                    raise
                self.database.mark_running(self._was_clean)
        except StoreFull as error:
            self.in_trouble(error)
            return
        except StoreFault as error:
            self.database.close(False)
            raise StartError(f"event store {self._settings.path}: {error}") from error
        self._running.set()
        self.database.reserve.fill()

    @staticmethod
    def _spawn(name: str, run: Callable[[], None]) -> gevent.Greenlet[[], None]:
        greenlet = gevent.spawn(run)
        greenlet.name = name
        return greenlet

    # --- what others call ---------------------------------------------------------------------------

    def feed(self, lane: str, window: int) -> Feed:
        """Return the feed of that lane, as it was left; a new one begins with the next event."""
        feed = self.feeds.get(lane)
        if feed is None:
            row = self._rows.get(lane) or LaneRow(lane, self._seq, 0, 0, "{}", 0, "[]")
            feed = self.feeds[lane] = Feed(row, window, self, self._accepted)
            self.has_settled(feed)
            lost = self._noted.pop(lane, 0) - row.numbered
            if lost > 0:  # staged when the last process ended; reported when there are hooks to report it to
                self._noted_gaps.append((feed, feed.shed(lost), feed.numbered, lost))
        feed.window = window
        return feed

    @property
    def accepted(self) -> int:
        """The seq up to which everything is on the disk."""
        return self._accepted

    @property
    def staged(self) -> int:
        """How many events wait for the disk, those that are being written not counted."""
        return len(self._staged)

    def staged_for(self, lane: str) -> int:
        """How many of these are for the lane; its feed does not know them yet."""
        return self._staged_for[lane]

    def dropped(self, lane: str) -> int:
        """How many events of the lane were given up since the start, whether or not the gap is reported yet."""
        return self._given_up[lane] + self._shed[lane]

    @property
    def is_up(self) -> bool:
        """Return whether the store can be written and read."""
        return all(fault.kind == STORE_FULL for fault in self.faults())

    def missing_ends(self) -> list[End]:
        """Return an end for everything that a crash has cut short: what began last ends first. Runs in the greenlet
        that starts the daemon."""
        return [_end_of(row, self._alive_at) for row in self._cut_short]

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong with the store now."""
        path = self._settings.path
        writer, reader, _ = self._greenlets
        if writer.dead and not self._closing:
            yield Fault(STORE_NOT_WRITABLE, path, "its writer ended by an error of rtmpd; the log has the traceback")
        elif self.fault:
            waiting = self.staged + len(self._writing)
            yield Fault(STORE_NOT_WRITABLE, path, f"{self.fault}; {waiting} events wait in memory")
        if reader.dead and not self._closing:
            yield Fault(STORE_NOT_READABLE, path, "its reader ended by an error of rtmpd; the log has the traceback")
        elif self.read_fault:
            yield Fault(STORE_NOT_READABLE, path, self.read_fault)
        if self.database.is_capped:
            yield Fault(STORE_FULL, path, "its disk is full, so that the file does not grow")
        elif self.retention.is_full:
            used, size = self.retention.used_bytes, self._settings.size_bytes
            yield Fault(STORE_FULL, path, f"{used} bytes are used, [store] size is {size}")

    def read(self) -> Iterator[Reading]:
        """Yield the metrics of the store."""
        yield Reading("rtmp_store_up", int(self.is_up))
        yield Reading("rtmp_store_staged_events", self.staged + len(self._writing))
        yield Reading("rtmp_store_used_bytes", self.retention.used_bytes)
        yield Reading("rtmp_store_limit_bytes", self._settings.size_bytes)
        yield Reading("rtmp_store_commits_total", self.commits)

    def append(self, event: Event, feeds: Sequence[Feed], doubt: str = "", replayed: int = 0) -> None:
        """Accept the event for these lanes as soon as it is on the disk. Never raises.

        ``replayed`` is the number of the dead letter that it was. When nothing can be written and as much waits as
        may, the event is given up, and a gap of the lanes' numbers reports that.
        """
        size = len(event.json())
        settings = self._settings
        refused = self.retention.is_full and settings.full == STORE_DROP_NEWEST
        if refused or len(self._staged) >= settings.staged_events or self._staged_bytes >= settings.staged_bytes:
            self._shed.update([feed.id for feed in feeds])
            self._signal.set()
            return
        self._seq += 1
        self._staged_bytes += size
        self._staged.append(_Staged(self._seq, event, feeds, doubt, replayed))
        self._staged_for.update([feed.id for feed in feeds])
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
        self._batch.dead_removed.extend(numbers)
        self._signal.set()
        self._urgent.set()

    def has_settled(self, feed: Feed) -> None:
        """Write the feed down soon."""
        if not self._dirty:
            self._signal.set()
        self._dirty[feed.id] = feed

    def wants_page(self, feed: Feed) -> None:
        """Read the next events of the feed, and hand them to its ``paged``."""
        self._pages.append(feed)
        self._page_signal.set()

    def ask(self, question: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
        """Return the answer of ``question``, a method of ``database``, which runs on the log's thread. Raises
        StoreFault. May switch."""
        return in_thread(self.pool, lambda: question(*values, **named))

    def gap(self, feed: Feed, from_seq: int, to_seq: int, count: int, reason: str) -> None:
        """Write and report that the feed will not get these numbers."""
        self._given_up[feed.id] += count
        self._batch.gaps.append(GapRow(feed.id, self._clock.wall(), from_seq, to_seq, count, reason))
        _log.error("events given up", hook_id=feed.id, count=count, reason=reason, from_seq=from_seq, to_seq=to_seq)
        facts = {"hook_id": feed.id, "count": count, "reason": reason, "from_seq": from_seq, "to_seq": to_seq}
        self._report_dropped(feed.id, facts)
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
            self._settings = self.retention.settings = settings
        return same

    def sign_of_life(self) -> None:
        """Write that the process is alive, if a crash would leave ends to be emitted, or to see whether the file can be
        written again. May switch."""
        if self._is_stuck or not (self._sessions or self.fault) or not self._running.is_set():
            return
        try:
            self.ask(self.database.mark_alive, self._clock.wall())
        except StoreFault as error:
            self.in_trouble(error)
        else:
            self._out_of_trouble()

    def in_trouble(self, error: StoreFault) -> None:
        """Note that the file cannot be written, and log it now and then. Events wait in memory, as many as may."""
        now = self._clock.monotonic()
        if not self.fault or now >= self._remind_at:
            self._remind_at = now + _REMIND_S
            staged, lost = self.staged + len(self._writing), sum(self._shed.values())
            path = self._settings.path
            _log.error("event store cannot be written", store=path, error=error, staged=staged, given_up=lost)
        self.fault = str(error)

    def _out_of_trouble(self) -> None:
        if self.fault:
            self.fault = ""
            _log.warning("event store works again", store=self._settings.path)

    def close(self, wait_s: float) -> int:
        """Write what is staged, for at most that long; return the number of events that could not be written. May
        switch."""
        self._closing = True
        self._signal.set()
        self._urgent.set()
        gevent.joinall(self._greenlets[:1], timeout=wait_s)
        is_clean = self._greenlets[0].successful()
        gevent.killall(self._greenlets, block=True, timeout=_CLOSE_S)
        try:
            if not is_clean:
                gevent.with_timeout(_CLOSE_S, self._note_loss)
            gevent.with_timeout(_CLOSE_S, self.pool.apply, self.database.close, (is_clean,))
        except (gevent.Timeout, StoreFault) as error:
            _log.error("event store not closed in order", error=error)
        return len(self._writing) + len(self._staged) + sum(self._shed.values())

    def _note_loss(self) -> None:
        """Write down, where that takes no room, the numbers that would be lost if the process ended now. May switch."""
        feeds = self.feeds.values()
        numbered = {feed.id: feed.numbered + self._staged_for[feed.id] + self._shed[feed.id] for feed in feeds}
        self._has_note = self.pool.apply(self.database.reserve.note, (numbered,))

    # --- the writer ---------------------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            if not (self._staged or self._dirty or self._shed or self._noted_gaps or self._batch != _NOTHING):
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
        batch, self._writing, unsaved = self._cut()
        self._until_written(batch)
        staged, self._writing = self._writing, []
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
        """Return the next transaction, what it makes accepted, and what it says of the feeds."""
        staged: list[_Staged] = []
        room = _BATCH_BYTES
        while self._staged and len(staged) < _BATCH_EVENTS and room > 0:
            staged.append(self._staged.popleft())
            room -= len(staged[-1].event.json())
        self._staged_bytes -= _BATCH_BYTES - room
        batch, self._batch = self._batch, Batch()
        for each in staged:
            batch.events.append(each.row())
            for feed in each.feeds:
                self._staged_for[feed.id] -= 1
            each.note_session(batch.sessions, self._sessions)
            if each.replayed:
                batch.dead_removed.append(each.replayed)
        dirty, self._dirty = self._dirty, {}
        for each in staged:
            dirty.update((feed.id, feed) for feed in each.feeds)
        self._number_the_shed(batch, dirty)
        batch.lanes = [feed.row() for feed in dirty.values()]
        batch.alive_at = self._clock.wall()
        return batch, staged, [(feed, feed.unsaved) for feed in dirty.values()]

    def _number_the_shed(self, batch: Batch, dirty: dict[str, Feed]) -> None:
        noted, self._noted_gaps = self._noted_gaps, []
        for feed, first, last, count in noted:
            self.gap(feed, first, last, count, STORE_NOT_WRITABLE)
        shed, self._shed = self._shed, Counter()
        for id, count in shed.items():
            feed = dirty[id] = self.feeds[id]
            first = feed.shed(count)
            self.gap(feed, first, feed.numbered, count, STORE_FULL if self.retention.is_full else STORE_NOT_WRITABLE)
        if shed or noted:  # they are reported in the same transaction
            batch.gaps += self._batch.gaps
            self._batch.gaps = []

    def _until_written(self, batch: Batch) -> None:
        """Try until it is on the disk: no lane gets any of it before. May switch."""
        while True:
            try:
                if not self._running.is_set():
                    self.ask(self.database.mark_running, self._was_clean)
                    self._running.set()
                self.ask(self.database.commit, batch)
            except StoreFault as error:
                self._is_stuck = True
                if isinstance(error, StoreFull):
                    can_go_on = self.retention.relieve()
                    batch.lanes = [self.feeds[row.id].row() for row in batch.lanes]
                else:
                    can_go_on, batch.may_be_written = False, True
                if not can_go_on:
                    self.in_trouble(error)
                    self._note_loss()
                    gevent.sleep(_RETRY_S)
            else:
                self._is_stuck = False
                self._out_of_trouble()
                if self._has_note:
                    self._has_note = not self.pool.apply(self.database.reserve.note, ({},))
                return

    # --- the reader ---------------------------------------------------------------------------------

    def _read(self) -> None:
        self._running.wait()
        remind_at = 0.0
        while True:
            if not self._pages:
                self._page_signal.clear()
                self._page_signal.wait()
            feed = self._pages.popleft()
            after, limit = feed.wish
            page = None
            try:
                page = self.ask(self.database.page, feed.id, after, limit, self._accepted)
                self.read_fault = ""
            except StoreFault as error:
                self.read_fault = str(error)
                now = self._clock.monotonic()
                if now >= remind_at:
                    remind_at = now + _REMIND_S
                    _log.error("event store cannot be read", store=self._settings.path, error=error)
                gevent.sleep(_RETRY_S)
            feed.paged(page, after)


def _end_of(row: SessionRow, alive_at: float) -> End:
    data = json.loads(row.body)["data"]
    if row.type == "recording_start":
        data["path"] = _left_at(str(data["path"]))
    began_at = time_of(row.id) or row.timestamp
    return end_by_crash(row.type, began_at, row.conn_id, row.stream_key, data, alive_at)


def _left_at(path: str) -> str:
    """Where the crash left the recording. The name that it was to get is not there yet if it was being written."""
    return path + _RECORDING_PART if not os.path.exists(path) and os.path.exists(path + _RECORDING_PART) else path
