"""Watches how full file systems are, and whether directories can be written. A network file system may hang, so only
one greenlet ever waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import gevent
from gevent import Greenlet
from gevent.hub import get_hub

from ..log import logger
from ..metrics.fault import RECORD_DIR, Fault
from .system import disk_percent

_PERIOD_S = 2.0

_log = logger("monitor")


class Disks:
    """``percent`` is the recent usage of the file system of each path, from ``start`` to ``stop``.

    ``paths`` returns the directories whose file systems to watch, ``record_dirs`` the directories that must be
    writable; both are called before each look.
    """

    def __init__(self, paths: Callable[[], Iterable[str]], record_dirs: Callable[[], Iterable[str]]) -> None:
        self._paths = paths
        self._record_dirs = record_dirs
        self._greenlet: Greenlet[[], None] | None = None
        self._troubles: dict[str, str] = {}  # by path: why it cannot be watched
        self._unwritable: dict[str, str] = {}  # by record_dir: why it cannot be written
        self.percent: dict[str, float] = {}

    def start(self) -> None:
        """Start to watch, unless already started."""
        if self._greenlet is None:
            self._greenlet = Greenlet(self._run)
            self._greenlet.name = "monitor-disks"
            self._greenlet.start()

    def stop(self) -> None:
        """Stop watching. May switch."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None

    def faults(self) -> Iterator[Fault]:
        """Yield a fault for each directory for recordings that cannot be written."""
        for path, why in self._unwritable.items():
            yield Fault(RECORD_DIR, path, why)

    def look(self) -> None:
        """Look once. May switch."""
        percent: dict[str, float] = {}
        troubles: dict[str, str] = {}
        for path in dict.fromkeys(self._paths()):
            found = get_hub().threadpool.apply(_percent, (path,))
            if isinstance(found, float):
                percent[path] = found
                continue
            troubles[path] = found
            if self._troubles.get(path) != found:
                _log.warning("file system cannot be watched", path=path, error=found)
        self.percent, self._troubles = percent, troubles
        unwritable = {}
        for path in dict.fromkeys(self._record_dirs()):
            if why := get_hub().threadpool.apply(unwritable_dir, (path,)):
                unwritable[path] = why
                if path not in self._unwritable:
                    _log.error("record_dir cannot be written", path=path, error=why)
            elif path in self._unwritable:
                _log.warning("record_dir can be written again", path=path)
        self._unwritable = unwritable

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:  # noqa: BLE001  a bug here must not end the watch
                _log.exception("looking at the disks failed")
            gevent.sleep(_PERIOD_S)


def _percent(path: str) -> float | str:
    """Return the usage in percent, or the error as text, because gevent prints exceptions of its threads."""
    try:
        return disk_percent(path)
    except OSError as error:
        return error.strerror or str(error)


def unwritable_dir(path: str) -> str:
    """Return why no file can be created below ``path``, "" if one can. If ``path`` does not exist, the nearest existing
    directory above it is checked. May block for as long as the file system does."""
    folder = nearest(path)
    if not os.path.isdir(folder):
        return f"{folder} is not a directory"
    if os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        return ""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{folder} is mounted read-only"
    return f"uid {os.geteuid()} may not write in {folder}"


def nearest(path: str) -> str:
    """Return ``path``, or its nearest ancestor that exists."""
    path = os.path.abspath(path)
    while path != "/" and not os.path.lexists(path):
        path = os.path.dirname(path)
    return path
