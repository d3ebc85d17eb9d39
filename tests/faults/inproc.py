"""Hooks that note what they are given, in the ledger's words, inside of one process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gevent.event import Event as Signal

from rtmpd.clock import Clock
from rtmpd.event.event import Event
from rtmpd.hook.manager import HookManager
from rtmpd.hook.store import log as log_module
from rtmpd.hook.store.log import EventLog
from rtmpd.hook.store.schema import Batch
from rtmpd.settings import HooksSettings, RetrySettings, StoreSettings

from .auditor import Ends
from .ledger import Line, digest
from .producer import AT_LEAST_ONCE, PATIENT


class Noting:
    """Takes everything, or with ``held`` nothing until ``go`` is set; ``answer`` raises what is to go wrong."""

    type = "noting"

    def __init__(self, id: str, lines: list[Line], held: bool = False) -> None:
        self.id = id
        self.lines = lines
        self.answer: Callable[[Event], None] = lambda event: None
        self.go = Signal()
        if not held:
            self.go.set()

    def execute(self, event: Event, deadline: float) -> None:
        self.go.wait()
        line = {
            "hook": self.id,
            "id": event.id,
            "seq": event.seq,
            "key": event.stream_key or event.conn_id,
            "type": event.type,
            "attempt": getattr(event, "attempt", 1),
            "doubt": getattr(event, "redelivered", ""),
            "hash": digest(event.json()),
            "bad": "",
            "status": 200,
        }
        try:
            self.answer(event)
        except Exception:
            self.lines.append(line | {"status": 503})
            raise
        self.lines.append(line)

    def close(self) -> None:
        pass


def accepted_lines(batch: Batch) -> list[Line]:
    """What a batch makes accepted."""
    return [
        {"id": row.id, "seq": row.seq, "hash": digest(row.body), "routes": json.loads(row.routes)}
        for row in batch.events
    ]


@contextmanager
def noting_accepted(lines: list[Line], retry_s: float = 0.01) -> Iterator[None]:
    """Every event is noted when its commit has returned; what cannot be written is tried again sooner."""
    original, patience = EventLog._until_written, log_module._RETRY_S

    def noting(self: EventLog, batch: Batch) -> None:
        original(self, batch)
        lines.extend(accepted_lines(batch))

    EventLog._until_written = noting  # type: ignore[method-assign]
    log_module._RETRY_S = retry_s
    try:
        yield
    finally:
        EventLog._until_written = original  # type: ignore[method-assign]
        log_module._RETRY_S = patience


def managed(
    path: str, *hooks: Noting, clock: Clock | None = None, retry: RetrySettings = PATIENT, **store: Any
) -> HookManager:
    """A manager with these hooks, which may count on their events."""
    manager = HookManager(HooksSettings(store=StoreSettings(path, **store)), clock or Clock())
    for hook in hooks:
        manager.register(hook, retry=retry, delivery=AT_LEAST_ONCE)
    return manager


def publish(manager: HookManager, first: int, count: int, words: str = "") -> None:
    for number in range(first, first + count):
        session = f"s{number}"
        manager.emit("publish_start", stream_key=f"live/{number % 7}", session_id=session, stream_name=words)


def is_drained(manager: HookManager) -> bool:
    log = manager.events
    assert log
    return not log.staged and not log._dirty and all(feed.backlog == 0 for feed in log.feeds.values())


def ends(manager: HookManager) -> Ends:
    """What the running store says of dead events and gaps."""
    log = manager.events
    assert log
    found = Ends()
    for row in log.ask(log.database.dead, "", 0, 1_000_000):
        found.dead[row.lane, row.id] = row.seq
    for feed in log.feeds.values():
        gaps: Any = log.ask(log.database.gaps, feed.id, 1_000_000)
        found.gaps += [(feed.id, first, last, lost) for _, first, last, lost, _ in gaps]
    return found
