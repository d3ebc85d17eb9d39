"""Sees that a configuration file was changed, so that no signal has to be sent.

A look every few seconds compares what the files are like (time, size, inode) with the last look. A change counts
when two looks in a row agree on it, so that a file that is being written is not read half.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import gevent
from gevent import Greenlet

_OFF_LOOK_S = 1.0

Signature = tuple[tuple[str, int, int, int], ...]


def signature(files: Iterable[str]) -> Signature:
    """What these files are like now. Never raises."""
    return tuple(_state(path) for path in files)


def _listed(files: Callable[[], Iterable[str]]) -> Signature:
    """The same of the files that there are; none if they cannot be listed, which the next reload reports."""
    try:
        return signature(files())
    except OSError:
        return ()


def _state(path: str) -> tuple[str, int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (path, 0, 0, 0)
    return (path, status.st_mtime_ns, status.st_size, status.st_ino)


class FileWatch:
    """Calls ``changed`` when the configuration is another one, in the files that ``files`` names. ``period_s`` gives
    the seconds between two looks, 0 for none at present. ``start`` and ``stop`` once each."""

    def __init__(
        self, files: Callable[[], Iterable[str]], period_s: Callable[[], float], changed: Callable[[], None]
    ) -> None:
        self._files = files
        self._period_s = period_s
        self._changed = changed
        self._known = _listed(files)
        self._last = self._known
        self._greenlet: Greenlet[[], None] | None = None

    def start(self) -> None:
        """Start the greenlet that looks."""
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = "config-watch"

    def stop(self) -> None:
        """Stop looking. May switch greenlets."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def seen(self) -> None:
        """Note the files as they are now, without ``changed``: they are about to be read anyway."""
        self._known = self._last = _listed(self._files)

    def _run(self) -> None:
        while True:
            period_s = self._period_s()
            gevent.sleep(period_s or _OFF_LOOK_S)
            if period_s:
                self.look()

    def look(self) -> None:
        """Compare the files with the last look; call ``changed`` once they differ and have settled."""
        now = _listed(self._files)
        if now != self._known and now == self._last:
            self._known = now
            self._changed()
        self._last = now
