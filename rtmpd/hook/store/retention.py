"""Retention: deletes what nobody needs any more, and decides what to give up when there is still not enough room.

Settled events are kept for a while, so that they can be replayed; that ends early when room is short. Beyond that
``full`` decides: ``drop_oldest`` gives up the oldest of what the lane that is furthest behind has not been handed,
``drop_newest`` takes no new ones. Either leaves a gap that is reported.

Every method runs in the greenlet ``log-retention``, but ``relieve``, which ``log-writer`` calls.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import gevent

from ...clock import Clock
from ...errors import StoreFault
from ...event.birth import first_id_of
from ...log import logger
from ...settings import STORE_DROP_OLDEST, StoreSettings
from .database import Database

if TYPE_CHECKING:
    from .log import EventLog

PERIOD_S = 3.0
_TIGHT = 0.8
_GIVE_UP_PART = 10  # a tenth of what the lane has not been handed
_MIN_GIVE_UP = 500
_MAX_GAPS = 10_000

_log = logger("store")


class Retention:
    """Keeps the log within its bounds. ``is_tight``, ``is_full`` and ``used_bytes`` are as of the last look."""

    def __init__(self, settings: StoreSettings, log: EventLog, database: Database, clock: Clock) -> None:
        self.settings = settings
        self._events = log
        self._database = database
        self._clock = clock
        self.is_tight = self.is_full = False
        self.used_bytes = 0
        self.dead_trimmed = 0

    def run(self) -> None:
        """Tidy up every few seconds, for ever, with a sign of life between. May switch."""
        while True:
            gevent.sleep(PERIOD_S)
            try:
                self._events.sign_of_life()
                self.tidy()
            except StoreFault as error:
                self._events.in_trouble(error)
            except Exception:  # noqa: BLE001  a bug here must not end the retention
                _log.exception("event store not tidied", store=self.settings.path)

    def tidy(self) -> None:
        """Delete what is settled and old, and make room if there is too little. May switch."""
        ask = self._events.ask
        kept_from = self._clock.wall() - self.settings.retention_s
        while self._collect(first_id_of(kept_from)):
            gevent.sleep(0)
        self.dead_trimmed += ask(self._database.trim, "dead", self.settings.dead_letters)
        ask(self._database.trim, "gap", _MAX_GAPS)
        size = self.settings.size_bytes
        self._measure()
        while self.used_bytes > size * _TIGHT and self._collect(""):
            self._measure()
        before = 0
        while self.used_bytes > size and self.used_bytes != before and self.settings.full == STORE_DROP_OLDEST:
            before = self.used_bytes
            if not self._give_up():
                break
            self._collect("")
            self._measure()
        if self._events.fault:
            return
        was_capped = self._database.is_capped
        ask(self._database.grow_again)
        if was_capped and not self._database.is_capped:
            _log.warning("disk of the event store has room again", store=self.settings.path)

    def relieve(self) -> bool:
        """Make room at once, because the disk is full; return whether another try makes sense. May switch."""
        was_capped = self._database.is_capped
        has_room = self._events.ask(self._database.make_room)
        if self._database.is_capped and not was_capped:
            _log.error("disk of the event store is full", store=self.settings.path)
        try:
            if self._collect(""):
                return True
            if self.settings.full == STORE_DROP_OLDEST and self._give_up() and self._collect(""):
                return True
        except StoreFault:  # deleting takes room too, a little; the caller reports the fault it has
            pass
        return has_room

    def _measure(self) -> None:
        self.used_bytes = self._events.ask(self._database.used_bytes)
        self.is_tight = self.used_bytes > self.settings.size_bytes * _TIGHT
        self.is_full = self.used_bytes > self.settings.size_bytes

    def _collect(self, before_id: str) -> int:
        feeds = list(self._events.feeds.values())
        wanted = [feed for feed in feeds if not feed.is_parked]
        upto = min((feed.cursor for feed in wanted), default=self._events.accepted)
        pinned = [seq for feed in wanted for seq in feed.pinned]
        rows, gaps = [feed.row() for feed in feeds], self._events.take_gaps()
        deleted = 0
        try:
            deleted = self._events.ask(self._database.collect, upto, pinned, before_id, rows, gaps)
        finally:
            if not deleted:
                self._events.put_back_gaps(gaps)
        return deleted

    def _give_up(self) -> bool:
        """Make the lane that is furthest behind skip the oldest that it has not been handed."""
        feeds = [feed for feed in self._events.feeds.values() if not feed.is_parked]
        feed = min(feeds, key=lambda feed: feed.cursor, default=None)
        if feed is None or feed.cursor >= self._events.accepted:
            return False
        after = max(feed.cursor, self._events.ask(self._database.bounds)[0] - 1)
        upto = after + max((self._events.accepted - after) // _GIVE_UP_PART, _MIN_GIVE_UP)
        upto = min(upto, self._events.accepted)
        routes = self._events.ask(self._database.last_routes, feed.id, after, upto)
        if feed.cursor > after:
            return True  # it went on meanwhile, and what it has been handed is not given up
        feed.skip(upto, json.loads(routes)[feed.id] if routes else 0)
        return True
