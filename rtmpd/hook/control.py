"""What an operator can ask of the hooks, and have them do.

An unknown hook, event or dead letter is a KeyError, what can not be done is OperatorRefused. Everything here may switch
greenlets; the iterators yield a record of progress every now and then, and stop where they are when nobody asks on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent

from ..clock import Clock
from ..errors import DeliveryError, OperatorRefused
from ..event.birth import first_id_of
from ..event.event import Event
from ..event.example import CONN_ID, STREAM_KEY, example_data
from .lane.lane import Lane
from .manager import HookManager
from .redelivery import REPLAY, again
from .store.feed import event_of, event_of_dead
from .store.log import EventLog
from .store.schema import DeadRow, Row

Facts = dict[str, Any]
Found = list[Facts]
Letters = list[DeadRow]
Rows = list[Row]
Numbers = list[int] | None
Ids = list[str] | None

_STEP = 100
_STAGED = 2000
_POLL_S = 0.01
_NO_STORE = "this hook keeps its events in memory; it takes guarantee_level = at-least-once to look back"


class HookControl:
    """The operator's view of ``hooks``."""

    def __init__(self, hooks: HookManager, clock: Clock) -> None:
        self._hooks = hooks
        self._clock = clock

    def list(self) -> Found:
        """Every hook, with its counts."""
        return [self._facts(lane) for lane in self._hooks.lanes.values()]

    def show(self, hook_id: str) -> Facts:
        """One hook, with what it is bound to."""
        lane = self._lane(hook_id)
        settings = lane.settings
        facts = self._facts(lane)
        facts["event_types"] = list(settings.event_types) or ["*"]
        facts["stream_patterns"] = list(settings.filter.stream_patterns)
        facts["conditions"] = list(settings.filter.conditions)
        facts["min_severity"] = settings.filter.min_severity
        facts["guarantee_level"] = settings.delivery.guarantee_level
        facts["order"] = settings.delivery.order
        facts["max_attempts"] = settings.retry.max_attempts
        if lane.feed and self._hooks.events:
            gaps = self._hooks.events.ask(self._hooks.events.database.gaps, hook_id, _STEP)
            names = ("at", "from_seq", "to_seq", "lost", "reason")
            facts["gaps"] = [dict(zip(names, gap, strict=True)) for gap in gaps]
        return facts

    def _facts(self, lane: Lane) -> Facts:
        return {"id": lane.hook.id, "type": lane.hook.type, **self._hooks.facts_of(lane)}

    def test(self, hook_id: str, event_type: str) -> Facts:
        """Send an example of that type, past the queue and the filters, and wait for what becomes of it."""
        lane = self._lane(hook_id)
        event = self._hooks.born(event_type, CONN_ID, STREAM_KEY, example_data(event_type))
        started = self._clock.monotonic()
        outcome: Facts = {"delivered": True, "event_id": event.id}
        try:
            lane.hook.execute(event, started + lane.settings.timeout_s)
        except DeliveryError as error:
            outcome |= {"delivered": False, "error": str(error), "code": error.code}
        outcome["duration_ms"] = round((self._clock.monotonic() - started) * 1000, 3)
        self._hooks.records.act("test", hook_id=hook_id, event_id=event.id, event_type=event_type)
        return outcome

    def pause(self, hook_id: str) -> None:
        """Have the hook get nothing until ``resume``."""
        self._lane(hook_id).pause("operator")
        self._hooks.records.act("pause", hook_id=hook_id)

    def resume(self, hook_id: str) -> None:
        """Have it get events again, at once, whatever it waited for."""
        self._lane(hook_id).resume()
        self._hooks.records.act("resume", hook_id=hook_id)

    # --- looking back -------------------------------------------------------------------------------

    def attempts(self, hook_id: str, event_id: str, limit: int) -> Found:
        """The tries to deliver an event, oldest first; with ``event_id`` "" the latest of the hook."""
        self._lane(hook_id)
        log = self._hooks.records.attempts
        if event_id:
            found = [each for each in log.of_event(event_id) if each.hook_id == hook_id]
        else:
            found = log.latest(hook_id, limit)
        return [each._asdict() for each in found[:limit]]

    def why(self, event_id: str) -> Facts:
        """What became of an event at every hook: the filter's verdict, its place, its tries."""
        log = self._hooks.events
        rows: Rows = log.ask(log.database.event, event_id) if log else []
        dead: Letters = log.ask(log.database.dead_of_event, event_id) if log else []
        attempts = self._hooks.records.attempts.of_event(event_id)
        if not (rows or dead or attempts):
            raise KeyError(event_id)
        event = event_of(rows[0]) if rows else event_of_dead(dead[0]) if dead else None
        hooks = []
        for lane in self._hooks.lanes.values():
            id = lane.hook.id
            facts: Facts = {"hook_id": id, "state": self._place(lane, rows, dead, event)}
            facts["entries"] = [
                {"seq": numbers[id], "replay": row.doubt == REPLAY}
                for row in rows
                if id in (numbers := json.loads(row.routes))
            ]
            own_dead = [row for row in dead if row.lane == id]
            facts["dead"] = [{"number": row.number, "reason": row.reason, "error": row.error} for row in own_dead]
            facts["attempts"] = [each._asdict() for each in attempts if each.hook_id == id]
            hooks.append(facts)
        body = json.loads(event.json()) if event else None
        if event:
            for facts in hooks:
                facts["would_send"] = _preview(self._lane(facts["hook_id"]), event)
        return {"event_id": event_id, "event": body, "hooks": hooks}

    def _place(self, lane: Lane, rows: Rows, dead: Letters, event: Event | None) -> str:
        """``delivered``, ``dead``, ``held`` or ``under way``, ``waiting``, or why it was never routed here."""
        own = [row.seq for row in rows if lane.hook.id in json.loads(row.routes)]
        if own and lane.feed:
            if own[-1] > lane.feed.read:
                return "waiting"
            if own[-1] in lane.feed.pinned:
                return "under way or held"
        if any(row.lane == lane.hook.id for row in dead):
            return "dead"
        if own:
            return "delivered"
        if event is None:
            return "unknown, it is in no log"
        if not lane.takes(event.type):
            return "not bound to this type"
        reason = self._hooks.filters.verdict(event, lane.hook.id)
        return f"refused by its filter: {reason}" if reason else "not routed: its filter or rate was another then"

    # --- dead letters -------------------------------------------------------------------------------

    def dead_letters(self, hook_id: str, after: int, limit: int) -> Found:
        """Dead letters with a number above ``after``; those in memory have the number 0 and come first."""
        lanes = [self._lane(hook_id)] if hook_id else list(self._hooks.lanes.values())
        found: Found = []
        for lane in lanes if not after else []:
            if lane.feed is None:
                found += [
                    _letter_facts(0, lane.hook.id, each.at, each.reason, each.attempts, each.last_error, each.event)
                    for each in lane.dead_letters.kept
                ]
        if self._hooks.events:
            found += [_row_facts(row) for row in self._dead_page(hook_id, after, limit)]
        return found[:limit]

    def dead_letter(self, number: int) -> Facts:
        """One of those in the store, with its event."""
        (row,) = self._dead_rows([number])
        return {**_row_facts(row), "event": json.loads(row.body)}

    def replay_dead(self, hook_id: str, numbers: Numbers) -> Iterator[Facts]:
        """Deliver dead letters again: these, those of a hook, or with "" all."""
        self._hooks.records.act("replay_dead", hook_id=hook_id, numbers=numbers or "all")
        if numbers is None:
            yield from self._replay_memory(hook_id)
        if self._hooks.events:
            yield from self._each_dead(hook_id, numbers, self._rise, "replayed")

    def purge_dead(self, hook_id: str, numbers: Numbers) -> Iterator[Facts]:
        """Delete dead letters: these, those of a hook, or with "" all."""
        self._hooks.records.act("purge_dead", hook_id=hook_id, numbers=numbers or "all")
        if numbers is None:
            for lane in [self._lane(hook_id)] if hook_id else self._hooks.lanes.values():
                lane.dead_letters.kept.clear()
        if self._hooks.events:
            yield from self._each_dead(hook_id, numbers, self._purge, "purged")

    def _replay_memory(self, hook_id: str) -> Iterator[Facts]:
        for lane in [self._lane(hook_id)] if hook_id else list(self._hooks.lanes.values()):
            if lane.feed is None and lane.dead_letters.kept:
                letters = list(lane.dead_letters.kept)
                lane.dead_letters.kept.clear()
                for letter in letters:
                    lane.offer(again(letter.event, 1, REPLAY))
                yield {"hook_id": lane.hook.id, "replayed": len(letters)}

    def _each_dead(
        self, hook_id: str, numbers: Numbers, act: Callable[[EventLog, DeadRow], bool], done: str
    ) -> Iterator[Facts]:
        log = self._log()
        if hook_id:
            self._lane(hook_id)
        rows: Iterable[DeadRow] = self._dead_rows(numbers) if numbers is not None else self._all_dead(hook_id)
        count = skipped = 0
        for row in rows:
            if act(log, row):
                count += 1
            else:
                skipped += 1
            if (count + skipped) % _STEP == 0:
                yield {done: count, "skipped": skipped}
                self._wait_for(log)
        yield {done: count, "skipped": skipped}

    def _rise(self, log: EventLog, row: DeadRow) -> bool:
        lane = self._hooks.lanes.get(row.lane)
        if lane is None or lane.feed is None or row.number is None:
            return False
        log.append(event_of_dead(row), [lane.feed], REPLAY, row.number)
        return True

    @staticmethod
    def _purge(log: EventLog, row: DeadRow) -> bool:
        assert row.number is not None
        log.purge([row.number])
        return True

    def _all_dead(self, hook_id: str) -> Iterator[DeadRow]:
        """Those that there are now, not those that the replay makes."""
        log, after = self._log(), 0
        last = log.ask(log.database.last_dead)
        while page := [row for row in self._dead_page(hook_id, after, _STEP) if (row.number or 0) <= last]:
            yield from page
            after = page[-1].number or 0

    def _dead_page(self, hook_id: str, after: int, limit: int) -> Letters:
        log = self._log()
        page: Letters = log.ask(log.database.dead, hook_id, after, limit)
        return page

    def _dead_rows(self, numbers: Iterable[int]) -> Letters:
        log = self._log()
        rows: Letters = log.ask(log.database.dead_of, [*numbers])
        missing = set(numbers) - {row.number for row in rows}
        if missing:
            raise KeyError(min(missing))
        return rows

    # --- replay -------------------------------------------------------------------------------------

    def replay(
        self, hook_id: str, *, event_ids: Ids, since: float | None, until: float | None
    ) -> Iterator[Facts]:
        """Deliver events of the log to the hook again, whether it has had them or not: these, or those that its type
        and filter fit from ``since`` to ``until`` (Unix seconds)."""
        lane, log = self._lane(hook_id), self._log()
        if lane.feed is None:
            raise OperatorRefused(_NO_STORE)
        self._hooks.records.act("replay", hook_id=hook_id, event_ids=event_ids, since=since, until=until)
        count = 0
        for row in self._these(event_ids) if event_ids is not None else self._between(lane, since, until):
            log.append(event_of(row), [lane.feed], REPLAY)
            count += 1
            if count % _STEP == 0:
                yield {"replayed": count}
                self._wait_for(log)
        yield {"replayed": count}

    def _these(self, event_ids: Iterable[str]) -> Iterator[Row]:
        log = self._log()
        for id in event_ids:
            rows: Rows = log.ask(log.database.event, id)
            if not rows:
                raise KeyError(id)
            yield rows[0]

    def _between(self, lane: Lane, since: float | None, until: float | None) -> Iterator[Row]:
        log, after = self._log(), 0
        low = first_id_of(since or 0.0)
        high = first_id_of(until if until is not None else self._clock.wall() + 1)
        while rows := log.ask(log.database.between, low, high, after, _STEP):
            for row in rows:
                event = event_of(row)
                if lane.takes(row.type) and not self._hooks.filters.verdict(event, lane.hook.id):
                    yield row
            after = rows[-1].seq

    # --- finding ------------------------------------------------------------------------------------

    def _lane(self, hook_id: str) -> Lane:
        return self._hooks.lanes[hook_id]

    def _log(self) -> EventLog:
        if self._hooks.events is None:
            raise OperatorRefused(_NO_STORE)
        return self._hooks.events

    @staticmethod
    def _wait_for(log: EventLog) -> None:
        while log.staged > _STAGED:
            gevent.sleep(_POLL_S)


def _preview(lane: Lane, event: Event) -> Facts | None:
    """What the hook would send, None for a kind that does not tell."""
    preview = getattr(lane.hook, "preview", None)
    if preview is None:
        return None
    try:
        facts: Facts = preview(event)
    except (DeliveryError, OSError) as error:
        return {"error": str(error)}
    return facts


def _row_facts(row: DeadRow) -> Facts:
    return _letter_facts(row.number or 0, row.lane, row.at, row.reason, row.attempts, row.error, event_of_dead(row))


def _letter_facts(
    number: int, hook_id: str, at: float, reason: str, attempts: int, error: str, event: Event
) -> Facts:
    return {
        "number": number,
        "hook_id": hook_id,
        "at": at,
        "reason": reason,
        "attempts": attempts,
        "error": error,
        "event_id": event.id,
        "event_type": event.type,
        "stream_key": event.stream_key,
        "conn_id": event.conn_id,
        "seq": event.seq,
    }
