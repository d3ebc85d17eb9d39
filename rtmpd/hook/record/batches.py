"""A batching writer: entries gather in memory and a thread of its own writes them, many at once.

=============  =======================================  ==========================================================
state          ``add``                                  left by
=============  =======================================  ==========================================================
idle           keeps the entry                          an entry, ``wake``, or ``idle_s`` without either
gathering      keeps the entry, drops it if there are   ``BATCH_S`` after the first entry, or ``BATCH_ENTRIES``
               ``MAX_PENDING``
writing        the same; the next batch gathers         the thread has finished, well or not
closed         drops the entry                          -
=============  =======================================  ==========================================================

A dropped entry is counted. How each use of the thread went is reported, so that the owner logs a fault once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import gevent
from gevent import Greenlet
from gevent.event import Event as Signal
from gevent.lock import RLock
from gevent.threadpool import ThreadPool

from ..threads import in_thread

BATCH_S = 0.1
BATCH_ENTRIES = 500
MAX_PENDING = 20_000
RETRY_S = 1.0

E = TypeVar("E")
R = TypeVar("R")


class BatchWriter(Generic[E]):
    """Has ``write`` write what ``add`` was given.

    ``write`` runs in the thread. It is given a batch, and how many entries were dropped since the batch before. It
    returns what is wrong with the file, "" if nothing is, and raises if the batch was not written. ``report`` is given
    the same words, or those of the exception, in the greenlet that waited for the thread.

    With ``idle_s`` an empty batch is written when nothing came for so many seconds, and after a fault each
    ``RETRY_S``. ``fault`` is what the last report said; ``dropped`` counts the entries that were not written.
    """

    __slots__ = (
        "_closed",
        "_full",
        "_idle_s",
        "_lock",
        "_name",
        "_pending",
        "_refused",
        "_report",
        "_runner",
        "_thread",
        "_wake",
        "_write",
        "dropped",
        "fault",
    )

    def __init__(
        self,
        name: str,
        write: Callable[[list[E], int], str],
        report: Callable[[str], None],
        idle_s: float | None = None,
    ) -> None:
        self.dropped = 0
        self.fault = ""
        self._name = name
        self._write = write
        self._report = report
        self._idle_s = idle_s
        self._pending: list[E] = []
        self._refused = 0  # since the last batch
        self._closed = False
        self._wake = Signal()
        self._full = Signal()
        self._lock = RLock()  # one batch at a time, from taking it to counting what became of it
        self._thread = ThreadPool(1)
        self._runner: Greenlet[[], None] | None = None  # starts with the first entry, if it has nothing to do before
        if idle_s is not None:
            self._start()

    @property
    def pending(self) -> int:
        """How many entries wait to be written."""
        return len(self._pending)

    @property
    def is_closed(self) -> bool:
        """Return whether ``close`` was called."""
        return self._closed

    def add(self, entry: E) -> None:
        """Keep the entry until the next batch, in any greenlet. Never waits, never raises."""
        waiting = len(self._pending)
        if waiting >= MAX_PENDING or self._closed:
            self._refused += 1
            self.dropped += 1
            return
        self._pending.append(entry)
        if self._runner is None:
            self._start()
        if not waiting:
            self._wake.set()
        elif waiting == BATCH_ENTRIES:
            self._full.set()

    def wake(self) -> None:
        """Have a batch written soon, whether or not there are entries. Never waits."""
        self._wake.set()

    def flush(self) -> None:
        """Write what has gathered, after the batch under way. May switch greenlets."""
        self._flush(is_wanted=False)

    def call(self, work: Callable[[], R], otherwise: R) -> R:
        """Return what ``work`` returns in the thread, ``otherwise`` if it raises, which is reported. May switch."""
        try:
            result = in_thread(self._thread, work)
        except Exception as error:  # noqa: BLE001  whatever it is, the next use of the thread may fare better
            self._note(str(error) or type(error).__name__)
            return otherwise
        self._note("")
        return result

    def close(self, last: Callable[[], object]) -> None:
        """Write what has gathered, then run ``last`` in the thread and end it. The second call does nothing. May
        switch greenlets."""
        if self._closed:
            return
        self._closed = True
        self.flush()
        if self._runner is not None:
            self._runner.kill()
        self.call(last, None)
        self._thread.kill()

    def _start(self) -> None:
        self._runner = gevent.spawn(self._run)
        self._runner.name = self._name

    def _run(self) -> None:
        while True:
            is_retry = bool(self.fault) and self._idle_s is not None
            if self._wake.wait(RETRY_S if is_retry else self._idle_s):
                self._full.wait(BATCH_S)
            self._wake.clear()
            self._full.clear()
            self._flush(is_wanted=True)

    def _flush(self, is_wanted: bool) -> None:
        """Write a batch. If there are no entries, only if an empty one ``is_wanted``."""
        with self._lock:
            batch, self._pending = self._pending, []
            refused, self._refused = self._refused, 0
            if not (batch or refused or is_wanted):
                return
            try:
                words = in_thread(self._thread, lambda: self._write(batch, refused))
            except Exception as error:  # noqa: BLE001  whatever it is, the next batch may fare better
                self.dropped += len(batch)
                words = str(error) or type(error).__name__
            self._note(words)

    def _note(self, words: str) -> None:
        self._report(words)
        self.fault = words
