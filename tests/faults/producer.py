"""A process that emits events at a fixed rate through the real hooks, and notes each as its commit returns.

``python -m tests.faults.producer '{"folder": ..., "url": ..., ...}'`` says ``ready``, waits for a line on its standard
input, and goes on until it is killed; with ``drain`` it emits nothing, delivers what there is, and ends in order. The
rate is kept whatever becomes of the events (open loop). ``RTMPD_FAILPOINT`` names where it is to die (``failpoints``).
"""

from __future__ import annotations

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import json
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gevent

from rtmpd.clock import Clock
from rtmpd.hook.manager import HookManager
from rtmpd.hook.store.log import EventLog
from rtmpd.hook.store.schema import Batch
from rtmpd.settings import (
    AuthSettings,
    BodySettings,
    DeliverySettings,
    HookSettings,
    HooksSettings,
    RetrySettings,
    SigningSecret,
    StoreSettings,
)

from .ledger import ACCEPTED, AUDIENCE, DELIVERED, STORE, TOKEN_SECRET, WEBHOOK_SECRET, Ledger, digest

ORDERS = {"strict": "strict"}
SIGNED = (
    AuthSettings("standard", secrets=(SigningSecret(WEBHOOK_SECRET),)),
    AuthSettings("jwt", secret=TOKEN_SECRET, audience=AUDIENCE),
)
AT_LEAST_ONCE = DeliverySettings(guarantee_level="at-least-once")
PATIENT = RetrySettings(max_attempts=100_000, initial_delay_s=0.02, max_delay_s=0.1, breaker_failures=20)
_KEYS = 12


@dataclass
class Order:
    """What the producer is asked to do."""

    folder: str
    url: str
    rate: float = 200.0
    durability: str = "full"
    retention_s: float = 86400.0
    drain: bool = False
    reload_s: float = 0.0  # the hooks are replaced as often as that, 0 is never
    look_s: float = 0.0  # the store is tidied as often as that
    stop_s: float = 0.0  # it stops in order after that time


def webhook(name: str, url: str, **settings: Any) -> HookSettings:
    """A signed hook that may count on its events."""
    given: dict[str, Any] = {"auth": SIGNED, "retry": PATIENT, "delivery": AT_LEAST_ONCE, "timeout_s": 1.0}
    return HookSettings(name, "webhook", f"{url}/{name}", **(given | settings))


def hooks_of(order: Order) -> tuple[HookSettings, ...]:
    """One of every kind."""
    folder = Path(order.folder)
    return (
        webhook("ops", order.url),
        webhook("strict", order.url, delivery=replace(AT_LEAST_ONCE, order="strict")),
        webhook(
            "batch",
            order.url,
            delivery=replace(AT_LEAST_ONCE, batch_events=20, batch_age_s=0.05),
            body=BodySettings(schema=2),
        ),
        HookSettings("worker", "worker", str(folder / "worker"), retry=PATIENT, delivery=AT_LEAST_ONCE),
        HookSettings(
            "script",
            "script",
            str(folder / "script"),
            ("play_stop",),
            concurrency=2,
            retry=PATIENT,
            delivery=AT_LEAST_ONCE,
        ),
    )


def prepare(folder: Path) -> None:
    """Put the programs there that worker and script hook start."""
    ledger = folder / DELIVERED
    worker = folder / "worker"
    worker.write_text(f"#!/bin/sh\nexec {sys.executable} -IS {Path(__file__).with_name('worker.py')} {ledger}\n")
    worker.chmod(0o755)
    note = (
        '{"hook":"script","id":"%s","seq":%s,"key":"%s","type":"%s","attempt":%s,"doubt":"%s","hash":"","bad":"",'
        '"status":200}\\n'
    )
    values = "$RTMP_EVENT_ID $RTMP_EVENT_SEQ $RTMP_STREAM_KEY $RTMP_EVENT_TYPE ${RTMP_ATTEMPT:-1} $RTMP_REDELIVERED"
    script = folder / "script"
    quoted = " ".join(f'"{value}"' for value in values.split())
    script.write_text(f"printf '{note}' {quoted} >>{ledger}\n")


def note_accepted(ledger: Ledger) -> None:
    """From now on every event is noted when its commit has returned, and not before."""
    original = EventLog._until_written

    def noting(self: EventLog, batch: Batch) -> None:
        original(self, batch)
        if batch.events:
            ledger.append(
                *(
                    {
                        "id": row.id,
                        "seq": row.seq,
                        "type": row.type,
                        "key": row.stream_key or row.conn_id,
                        "hash": digest(row.body),
                        "routes": json.loads(row.routes),
                    }
                    for row in batch.events
                )
            )

    EventLog._until_written = noting  # type: ignore[method-assign]


def emit(hooks: HookManager, number: int) -> None:
    """One of the events that go round: each key begins and ends sessions."""
    key, turn = number % _KEYS, number // _KEYS
    session = f"s{os.getpid()}-{key}-{turn // 4}"
    kind = ("publish_start", "play_start", "play_stop", "publish_stop")[turn % 4]
    hooks.emit(kind, conn_id=f"c{key:06}", stream_key=f"live/{key}", app="live", session_id=session)


def emit_for_ever(hooks: HookManager, rate: float) -> None:
    """Open loop: what is late is emitted at once."""
    started, number = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - started) * rate)
        while number < due:
            emit(hooks, number)
            number += 1
        gevent.sleep(0.005)


def reload_for_ever(hooks: HookManager, settings: HooksSettings, every_s: float) -> None:
    """Each webhook gets another timeout, so that it gets another lane."""
    for turn in range(1 << 60):
        gevent.sleep(every_s)
        changed = tuple(replace(hook, timeout_s=1.0 + turn % 2 / 10) for hook in settings.hooks)
        hooks.replace(replace(settings, hooks=changed))


def look_for_ever(hooks: HookManager, every_s: float) -> None:
    assert hooks.events
    while True:
        gevent.sleep(every_s)
        hooks.events.retention.tidy()


def is_drained(hooks: HookManager) -> bool:
    assert hooks.events
    return not hooks.events.staged and all(feed.backlog == 0 for feed in hooks.events.feeds.values())


def run(order: Order) -> None:
    ledger = Ledger(Path(order.folder) / ACCEPTED)
    note_accepted(ledger)
    store = StoreSettings(
        str(Path(order.folder) / STORE), durability=order.durability, retention_s=order.retention_s
    )
    settings = HooksSettings(hooks_of(order), store=store, attempt_log=1000)
    hooks = HookManager(settings, Clock())
    hooks.recover()
    print("up", flush=True)
    if not order.drain:
        gevent.spawn(emit_for_ever, hooks, order.rate)
        if order.reload_s:
            gevent.spawn(reload_for_ever, hooks, settings, order.reload_s)
        if order.look_s:
            gevent.spawn(look_for_ever, hooks, order.look_s)
        gevent.sleep(order.stop_s or 3600)
    else:
        while not is_drained(hooks):
            gevent.sleep(0.02)
        gevent.sleep(0.2)  # what was settled last is written down
    hooks.close(2.0)
    print("closed", flush=True)


def main(text: str) -> None:
    order = Order(**json.loads(text))
    print("ready", flush=True)
    sys.stdin.readline()
    if point := os.environ.get("RTMPD_FAILPOINT"):
        from .failpoints import plant

        plant(point)
    run(order)


if __name__ == "__main__":
    main(sys.argv[1])
