"""Moments at which the producer dies, as if the system had killed it: ``name:n`` is the n-th time it comes to one.

They are wrapped around the code from here, so that the product knows nothing of them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from rtmpd.hook.exchange import Connection
from rtmpd.hook.lane.lane import Lane
from rtmpd.hook.manager import HookManager
from rtmpd.hook.store.database import Database, _Transaction
from rtmpd.hook.store.log import EventLog


class Countdown:
    """Dies when it has been called so often."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _around(owner: type, name: str, before: Callable[..., None] | None, after: Callable[..., None] | None) -> None:
    original = getattr(owner, name)

    def wrapped(self: Any, *values: Any, **named: Any) -> Any:
        if before:
            before(self, *values)
        result = original(self, *values, **named)
        if after:
            after(self, *values)
        return result

    setattr(owner, name, wrapped)


def before_commit(die: Countdown) -> None:
    """Nothing of the batch is written."""
    _around(Database, "commit", lambda database, batch: die() if batch.events else None, None)


def inside_commit(die: Countdown) -> None:
    """All of it is written but the COMMIT."""
    _around(_Transaction, "__exit__", lambda transaction, *error: die(), None)


def after_commit(die: Countdown) -> None:
    """It is on the disk, and no lane has got any of it."""
    _around(Database, "commit", None, lambda database, batch: die() if batch.events else None)


def half_sent(die: Countdown) -> None:
    """A part of a request is on its way."""
    send = Connection._send

    def half(self: Connection, request: bytes) -> Any:
        if die.left == 1:
            self._transport.send_now(request[: len(request) // 2])
        die()
        return send(self, request)

    Connection._send = half  # type: ignore[method-assign]


def before_settle(die: Countdown) -> None:
    """The endpoint has said 2xx, and nobody knows."""
    _around(Lane, "_settle", lambda lane, delivery, outcome, error: None if outcome.dead else die(), None)


def inside_collect(die: Countdown) -> None:
    """Old events are deleted, not committed."""
    _around(Database, "collect", lambda database, *values: _die_at_exit(die), None)


def after_collect(die: Countdown) -> None:
    """Old events are gone."""
    _around(Database, "collect", None, lambda database, *values: die())


def _die_at_exit(die: Countdown) -> None:
    if die.left == 1:
        inside_commit(Countdown(1))
    else:
        die()


def inside_reload(die: Countdown) -> None:
    """New lanes are in place, old ones have not ended."""
    _around(HookManager, "replace", None, lambda manager, settings: die())


def after_shutdown_began(die: Countdown) -> None:
    """The log is being closed."""
    _around(EventLog, "close", lambda log, wait_s: die(), None)


FAILPOINTS: dict[str, Callable[[Countdown], None]] = {
    "before-commit": before_commit,
    "inside-commit": inside_commit,
    "after-commit": after_commit,
    "half-sent": half_sent,
    "before-settle": before_settle,
    "inside-collect": inside_collect,
    "after-collect": after_collect,
    "inside-reload": inside_reload,
    "shutdown": after_shutdown_began,
}


def plant(text: str) -> None:
    """``name:n``."""
    name, _, times = text.partition(":")
    FAILPOINTS[name](Countdown(int(times or 1)))
