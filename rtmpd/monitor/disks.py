"""How full file systems are. A network file system may hang, so nobody but one greenlet ever waits for them."""

from __future__ import annotations

from collections.abc import Sequence

import gevent
from gevent import Greenlet
from gevent.hub import get_hub

from ..log import logger
from .system import disk_percent

_log = logger("monitor")


class Disks:
    """``percent`` is how full the file system of each path was lately, from ``start`` to ``stop``."""

    def __init__(self, paths: Sequence[str], interval_s: float) -> None:
        self._paths = paths
        self._interval_s = interval_s
        self._greenlet: Greenlet[[], None] | None = None
        self.percent: dict[str, float] = {}

    def start(self) -> None:
        """Begin to look, if there is anything to look at and it does not do so already. Never switches."""
        if self._paths and self._greenlet is None:
            self._greenlet = Greenlet(self._run)
            self._greenlet.name = "monitor-disks"
            self._greenlet.start()

    def stop(self) -> None:
        """Look no more. May switch greenlets."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None

    def _run(self) -> None:
        while True:
            for path in self._paths:
                try:
                    self.percent[path] = get_hub().threadpool.apply(disk_percent, (path,))
                except OSError as error:
                    self.percent.pop(path, None)
                    _log.warning("file system can not be watched", path=path, error=error)
            gevent.sleep(self._interval_s)
