"""Notices changed configuration files, so that no signal has to be sent.

Every few seconds it compares time, size and inode of the files with the last look. A change counts when two looks in a
row agree, so that a file is not read while it is being written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import gevent
from gevent import Greenlet

_OFF_LOOK_S = 1.0

Signature = tuple[tuple[str, int, int, int], ...]


def signature(files: Iterable[str]) -> Signature:
    """Return the current time, size and inode of these files. Never raises."""
    return tuple(_state(path) for path in files)


def _listed(files: Callable[[], Iterable[str]]) -> Signature:
    """Return the signature of the listed files; empty if they cannot be listed, which the next reload reports."""
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
    """Calls ``changed`` when the files that ``files`` lists have changed. ``period_s`` returns the seconds between two
    looks, 0 to pause. ``start`` and ``stop`` once each."""

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
        """Start the greenlet."""
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = "config-watch"

    def stop(self) -> None:
        """Stop looking. May switch."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def seen(self) -> None:
        """Accept the current files without calling ``changed``, because they are about to be read anyway."""
        self._known = self._last = _listed(self._files)

    def _run(self) -> None:
        while True:
            period_s = self._period_s()
            gevent.sleep(period_s or _OFF_LOOK_S)
            if period_s:
                self.look()

    def look(self) -> None:
        """Compare the files with the last look; call ``changed`` when they differ and no longer change."""
        now = _listed(self._files)
        if now != self._known and now == self._last:
            self._known = now
            self._changed()
        self._last = now
