"""Reports the state of the daemon to its starter: a shell that waits, systemd, or neither."""

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
        """Report that the listeners are open. ``status`` returns one line about the daemon; it is called at least every
        10 s."""
        self._status = status
        self._notifier.ready(status())
        if self._shell is not None:
            self._shell.tell(os.EX_OK)
        self._watch = gevent.Greenlet(self._keep_reporting)
        self._watch.name = "service watchdog"
        self._watch.start()

    def reloading(self) -> None:
        """Report that a reload begins."""
        self._notifier.reloading()

    def reloaded(self) -> None:
        """Report that the reload has ended, successfully or not."""
        self._notifier.ready(self._status())

    def stopping(self) -> None:
        """Report that the daemon stops; the watchdog is notified until ``close``."""
        self._notifier.stopping("stopping")

    def close(self) -> None:
        """Stop the reports."""
        if self._watch is not None:
            self._watch.kill(block=False)
            self._watch = None

    def _keep_reporting(self) -> None:
        """Runs in a greenlet of the hub that serves the clients: if the hub hangs, the watchdog ends the daemon."""
        period_s = min(self._notifier.watchdog_s or _STATUS_S, _STATUS_S)
        while True:
            gevent.sleep(period_s)
            self._notifier.alive(self._status())
