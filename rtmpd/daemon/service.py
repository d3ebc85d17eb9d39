"""Whoever started the daemon, and is told how it goes: a shell that waits, systemd, or nobody."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import gevent

from .detach import Shell
from .notify import Notifier

_STATUS_S = 10.0


class Service:
    """``ready`` once, then ``reloading`` and ``reloaded`` in pairs, then ``stopping``. Nothing here raises."""

    __slots__ = ("_notifier", "_shell", "_status", "_watch")

    def __init__(self, shell: Shell | None = None, notifier: Notifier | None = None) -> None:
        self._shell = shell
        self._notifier = notifier or Notifier()
        self._status: Callable[[], str] = str
        self._watch: Any = None

    def ready(self, status: Callable[[], str]) -> None:
        """The listeners are open. ``status`` says in a line what goes on; it is asked now and then."""
        self._status = status
        self._notifier.ready(status())
        if self._shell is not None:
            self._shell.tell(os.EX_OK)
        self._watch = gevent.Greenlet(self._keep_telling)
        self._watch.name = "service watchdog"
        self._watch.start()

    def reloading(self) -> None:
        """A reload begins."""
        self._notifier.reloading()

    def reloaded(self) -> None:
        """It is done, whatever came of it."""
        self._notifier.ready(self._status())

    def stopping(self) -> None:
        """The end begins; the watchdog is fed until ``close``."""
        self._notifier.stopping("stopping")

    def close(self) -> None:
        """Nothing more will be told."""
        if self._watch is not None:
            self._watch.kill(block=False)
            self._watch = None

    def _keep_telling(self) -> None:
        """A greenlet of the hub that works for the clients: if that hangs, the watchdog bites."""
        period_s = min(self._notifier.watchdog_s or _STATUS_S, _STATUS_S)
        while True:
            gevent.sleep(period_s)
            self._notifier.alive(self._status())
