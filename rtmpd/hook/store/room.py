"""Room in the log: what nobody needs any more goes, and what to give up when there is still not enough.

Settled events are kept for a while, so that they can be replayed; that ends early when room is
short. Beyond that ``full`` decides: ``drop_oldest`` gives up the oldest of what the lane that is furthest behind
has not been handed, ``drop_newest`` takes no new ones. Either leaves a gap that is told.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

import gevent

from ...clock import Clock
from ...errors import StoreFault
from ...event.birth import first_id_of
from ...log import logger
from ...settings import STORE_DROP_OLDEST, StoreSettings
from .database import Database
from .feed import Feed
from .schema import GapRow

_LOOK_S = 5.0
_TIGHT = 0.8
_GIVE_UP_PART = 10  # a tenth of what the lane has not been handed
_GIVE_UP_LEAST = 500
_MOST_GAPS = 10_000

_log = logger("store")


class Tended(Protocol):
    """The log, as the room for it is kept (``log.EventLog``)."""

    feeds: dict[str, Feed]

    @property
    def accepted(self) -> int:
        """The seq up to which everything is on the disk."""

    def ask(self, question: Callable[..., Any], *values: object) -> Any:
        """The answer of a method of the database. Switches greenlets."""

    def gap(self, feed: Feed, from_seq: int, to_seq: int, count: int, reason: str) -> None:
        """Have it told that the feed will not get these numbers."""

    def take_gaps(self) -> list[GapRow]:
        """Gaps that are not written yet."""

    def put_back_gaps(self, gaps: list[GapRow]) -> None:
        """They could not be written."""


class Room:
    """Keeps the log in its bounds. ``is_tight`` and ``is_full`` are as of the last look."""

    def __init__(self, settings: StoreSettings, log: Tended, database: Database, clock: Clock) -> None:
        self.settings = settings
        self._events = log
        self._database = database
        self._clock = clock
        self.is_tight = self.is_full = False
        self.used_bytes = 0
        self.dead_trimmed = 0

    def keep(self) -> None:
        """Look every few seconds, for ever. Switches greenlets."""
        while True:
            gevent.sleep(_LOOK_S)
            try:
                self.look()
            except StoreFault as error:
                _log.error("event store not tidied", error=error)

    def look(self) -> None:
        """Delete what is settled and old, and make room if there is too little. Switches greenlets."""
        kept_from = self._clock.wall() - self.settings.retention_s
        while self._collect(first_id_of(kept_from)):
            gevent.sleep(0)
        self.dead_trimmed += self._events.ask(self._database.trim, "dead", self.settings.dead_letters)
        self._events.ask(self._database.trim, "gap", _MOST_GAPS)
        size = self.settings.size_bytes
        self._measure()
        while self.used_bytes > size * _TIGHT and self._collect(""):
            self._measure()
        before = 0
        while self.used_bytes > size and self.used_bytes != before and self.settings.full == STORE_DROP_OLDEST:
            before = self.used_bytes
            if not self._give_up():
                return
            self._collect("")
            self._measure()

    def relieve(self) -> bool:
        """Make room at once, for the disk is full; whether there is a point in trying again. Switches greenlets."""
        try:
            if self._collect(""):
                return True
            return self.settings.full == STORE_DROP_OLDEST and self._give_up() and self._collect("") > 0
        except StoreFault as error:  # deleting takes room too, a little
            _log.error("event store has no room to make room", error=error)
            return False

    def _measure(self) -> None:
        self.used_bytes = self._events.ask(self._database.used_bytes)
        self.is_tight = self.used_bytes > self.settings.size_bytes * _TIGHT
        self.is_full = self.used_bytes > self.settings.size_bytes

    def _collect(self, before_id: str) -> int:
        feeds = list(self._events.feeds.values())
        wanted = [feed for feed in feeds if not feed.is_parked]
        upto = min((feed.read for feed in wanted), default=self._events.accepted)
        pinned = [seq for feed in wanted for seq in feed.pinned]
        rows, gaps = [feed.row() for feed in feeds], self._events.take_gaps()
        deleted: int = 0
        try:
            deleted = self._events.ask(self._database.collect, upto, pinned, before_id, rows, gaps)
        finally:
            if not deleted:
                self._events.put_back_gaps(gaps)
        return deleted

    def _give_up(self) -> bool:
        """Have the lane that is furthest behind skip the oldest that it has not been handed."""
        feeds = [feed for feed in self._events.feeds.values() if not feed.is_parked]
        feed = min(feeds, key=lambda feed: feed.read, default=None)
        if feed is None or feed.read >= self._events.accepted:
            return False
        after = max(feed.read, self._events.ask(self._database.bounds)[0] - 1)
        upto = after + max((self._events.accepted - after) // _GIVE_UP_PART, _GIVE_UP_LEAST)
        upto = min(upto, self._events.accepted)
        routes = self._events.ask(self._database.last_routes, feed.id, after, upto)
        if feed.read > after:
            return True  # it went on meanwhile, and what it has been handed is not given up
        feed.skip(upto, json.loads(routes)[feed.id] if routes else 0)
        return True
