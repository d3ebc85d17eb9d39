"""The operations of an operator on hooks.

What is not there and what cannot be done is OperatorRefused. Everything here may switch
greenlets; the iterators yield a record of progress every now and then, and stop where they are when nobody asks on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import gevent

from ..clock import Clock
from ..errors import DeliveryError, OperatorRefused
from ..event.birth import first_id_of
from ..event.catalogue import EVENT_TYPES
from ..event.event import Event, copied
from ..event.example import CONN_ID, STREAM_KEY, example_data
from .lane.deadletter import DeadLetter
from .lane.lane import Lane
from .manager import HookManager
from .record.records import DELIVERED
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
Kept = list[tuple[Lane, DeadLetter]]

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
        if settings.type == "webhook":
            facts["url"] = _without_secrets(settings.target)
        elif settings.target and settings.type != "stdio":
            facts["name" if settings.type == "plugin" else "path"] = settings.target
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
        return {"id": lane.hook.id, "type": lane.settings.type, **self._hooks.facts_of(lane)}

    def test(self, hook_id: str, event_type: str) -> Facts:
        """Send an example of that type, past the queue and the filters, and wait for what becomes of it."""
        lane = self._lane(hook_id)
        if event_type not in EVENT_TYPES:
            raise OperatorRefused(_no("event type", event_type, EVENT_TYPES), 404)
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
        """What became of an event at every hook: its ``state`` in words, its entries in the log, its dead letters and
        its tries; and what the hook would send of it."""
        log = self._hooks.events
        rows: Rows = log.ask(log.database.event, event_id) if log else []
        dead_rows: Letters = log.ask(log.database.dead_of_event, event_id) if log else []
        attempts = self._hooks.records.attempts.of_event(event_id)
        in_memory = {
            id: [letter for letter in lane.dead_letters.kept if letter.event.id == event_id]
            for id, lane in self._hooks.lanes.items()
            if lane.feed is None
        }
        kept = [letter for letters in in_memory.values() for letter in letters]
        if not (rows or dead_rows or attempts or kept or any(self._lane(id).find(event_id) for id in in_memory)):
            raise OperatorRefused(f"the event {event_id} is in no log, and no hook has tried it", 404)
        event = event_of(rows[0]) if rows else event_of_dead(dead_rows[0]) if dead_rows else None
        event = event or (kept[0].event if kept else None)
        type = event.type if event else attempts[0].event_type if attempts else ""
        hooks = []
        for id, lane in self._hooks.lanes.items():
            numbers = {row.seq: json.loads(row.routes) for row in rows}
            own = [row for row in rows if id in numbers[row.seq]]
            dead = [(row.number, row.reason, row.error) for row in dead_rows if row.lane == id]
            dead += [(letter.number, letter.reason, letter.last_error) for letter in in_memory.get(id, [])]
            facts: Facts = {
                "hook_id": id,
                "state": "",
                "entries": [{"seq": numbers[row.seq][id], "replay": row.doubt == REPLAY} for row in own],
                "dead": [dict(zip(("number", "reason", "error"), letter, strict=True)) for letter in dead],
                "attempts": [each._asdict() for each in attempts if each.hook_id == id],
            }
            facts["state"] = self._place(lane, event_id, own, facts) or self._why_not(lane, type, event)
            if event:
                number = facts["entries"][-1]["seq"] if facts["entries"] else event.seq
                facts["would_send"] = _preview(lane, copied(event, Event, number))
            hooks.append(facts)
        return {"event_id": event_id, "event": json.loads(event.json()) if event else None, "hooks": hooks}

    def _place(self, lane: Lane, event_id: str, own: Rows, facts: Facts) -> str:
        """Where an event is that the hook has to do with, "" if it has not. The lane itself knows best, then the log;
        what the last try came to is believed before what is merely not known to be otherwise."""
        if where := lane.find(event_id):
            return where
        if own and lane.feed:
            if own[-1].seq > lane.feed.cursor:
                return "waiting"
            if own[-1].seq in lane.feed.pinned:
                return "waiting for another try"
        outcome = facts["attempts"][-1]["outcome"] if facts["attempts"] else ""
        if facts["dead"] and outcome != DELIVERED:
            return f"dead: {facts['dead'][-1]['reason']}"
        if outcome == DELIVERED or (own and not outcome):
            return DELIVERED
        return "failed, and given up" if outcome else ""

    def _why_not(self, lane: Lane, type: str, event: Event | None) -> str:
        """Why an event was not routed to the hook, as far as that can still be known."""
        if type and not lane.takes(type):
            return "not bound to this type"
        reason = self._hooks.filters.verdict(event, lane.hook.id) if event else ""
        if reason:
            return f"refused by its filter: {reason}"
        return "not routed, or its attempts are forgotten: its filter, its rate or the hook was another then"

    # --- dead letters -------------------------------------------------------------------------------

    def dead_letters(self, hook_id: str, after: int, limit: int) -> Found:
        """Dead letters with a number above ``after``, those of hooks in memory and those of the store."""
        found = [_letter_facts(letter) for _, letter in self._kept(hook_id) if letter.number > after]
        if self._hooks.events:
            found += [_row_facts(row) for row in self._dead_page(hook_id, after, limit)]
        return sorted(found, key=lambda facts: int(facts["number"]))[:limit]

    def dead_letter(self, number: int) -> Facts:
        """One dead letter, with its event."""
        for _, letter in self._kept(""):
            if letter.number == number:
                return {**_letter_facts(letter), "event": json.loads(letter.event.json())}
        (row,) = self._dead_rows([number])
        return {**_row_facts(row), "event": json.loads(row.body)}

    def replay_dead(self, hook_id: str, numbers: Numbers) -> Iterator[Facts]:
        """Deliver dead letters again: these, those of a hook, or with "" all."""
        self._hooks.records.act("replay_dead", hook_id=hook_id, numbers=numbers or "all")

        def replay(lane: Lane, letter: DeadLetter) -> None:
            lane.offer(again(letter.event, 1, REPLAY))

        yield from self._each_dead(hook_id, numbers, replay, self._replay_row, "replayed")

    def purge_dead(self, hook_id: str, numbers: Numbers) -> Iterator[Facts]:
        """Delete dead letters: these, those of a hook, or with "" all."""
        self._hooks.records.act("purge_dead", hook_id=hook_id, numbers=numbers or "all")
        yield from self._each_dead(hook_id, numbers, lambda lane, letter: None, self._purge_row, "purged")

    def _kept(self, hook_id: str) -> Kept:
        """The dead letters in memory, of one hook or ("") of all: those that are not in the store."""
        lanes = [self._lane(hook_id)] if hook_id else list(self._hooks.lanes.values())
        return [(lane, letter) for lane in lanes if lane.feed is None for letter in lane.dead_letters.kept]

    def _each_dead(
        self,
        hook_id: str,
        numbers: Numbers,
        act: Callable[[Lane, DeadLetter], None],
        act_on_row: Callable[[EventLog, DeadRow], bool],
        done: str,
    ) -> Iterator[Facts]:
        """Act on dead letters, which are none any more then: on those in memory, then on those in the store."""
        count = skipped = 0
        chosen = [pair for pair in self._kept(hook_id) if numbers is None or pair[1].number in numbers]
        wanted = None if numbers is None else [n for n in numbers if n not in {letter.number for _, letter in chosen}]
        rows: Iterable[DeadRow] = ()
        if wanted is None and self._hooks.events:
            rows = self._all_dead(hook_id)
        elif wanted:
            rows = self._dead_rows(wanted)  # before anything is done: one that there is not is a mistake
        for lane, letter in chosen:
            lane.dead_letters.kept.remove(letter)
            act(lane, letter)
            count += 1
        for row in rows:
            log = self._log()
            if act_on_row(log, row):
                count += 1
            else:
                skipped += 1
            if (count + skipped) % _STEP == 0:
                yield {done: count, "skipped": skipped}
                self._wait_for(log)
        yield {done: count, "skipped": skipped}

    def _replay_row(self, log: EventLog, row: DeadRow) -> bool:
        lane = self._hooks.lanes.get(row.lane)
        if lane is None or lane.feed is None or row.number is None:
            return False
        log.append(event_of_dead(row), [lane.feed], REPLAY, row.number)
        return True

    @staticmethod
    def _purge_row(log: EventLog, row: DeadRow) -> bool:
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
        log = self._hooks.events
        rows: Letters = log.ask(log.database.dead_of, [*numbers]) if log else []
        missing = set(numbers) - {row.number for row in rows}
        if missing:
            raise OperatorRefused(f"there is no dead letter {min(missing)}", 404)
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
                raise OperatorRefused(f"there is no event {id} in the log", 404)
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
        lane = self._hooks.lanes.get(hook_id)
        if lane is None:
            raise OperatorRefused(_no("hook", hook_id, self._hooks.lanes), 404)
        return lane

    def _log(self) -> EventLog:
        if self._hooks.events is None:
            raise OperatorRefused(_NO_STORE)
        return self._hooks.events

    @staticmethod
    def _wait_for(log: EventLog) -> None:
        while log.staged > _STAGED:
            gevent.sleep(_POLL_S)


def _no(what: str, name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"there is no {what} {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _preview(lane: Lane, event: Event) -> Facts | None:
    """What the hook would send, None for a kind of hook that cannot say so."""
    preview = getattr(lane.hook, "preview", None)
    if preview is None:
        return None
    try:
        facts: Facts = preview(event)
    except (DeliveryError, OSError) as error:
        return {"error": str(error)}
    if "signed_by" in facts:
        facts["signed_by"] = [auth.type for auth in lane.settings.auth]
    return facts


def _row_facts(row: DeadRow) -> Facts:
    event = event_of_dead(row)
    return _letter_facts(DeadLetter(row.number or 0, event, row.lane, row.reason, row.attempts, row.error, row.at))


def _letter_facts(letter: DeadLetter) -> Facts:
    event = letter.event
    return {
        "number": letter.number,
        "hook_id": letter.hook_id,
        "at": letter.at,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "error": letter.last_error,
        "event_id": event.id,
        "event_type": event.type,
        "stream_key": event.stream_key,
        "conn_id": event.conn_id,
        "seq": event.seq,
    }


def _without_secrets(url: str) -> str:
    """A URL without its password and the values of its query: it may be shown."""
    parts = urlsplit(url)
    account, at, host = parts.netloc.rpartition("@")
    user, colon, _ = account.partition(":")
    query = "&".join(f"{one.partition('=')[0]}=***" if "=" in one else one for one in parts.query.split("&"))
    return urlunsplit(parts._replace(netloc=f"{user}{':***' if colon else ''}{at}{host}", query=query))
