"""Turns signals into words for one worker greenlet. The worker itself is in ``rtmpd.run``.

A handler only queues its word and sets an event. An exception that escaped from a gevent signal handler would end the
process, and one greenlet per signal would let two reloads overlap. A word that is already queued is not queued twice,
so a burst of HUPs becomes one reload.

Other processes may send signals as soon as they can read the pid file. The default action of HUP and USR1 is to end the
process. Therefore ``hold`` blocks our signals before the pid file is written, until ``SignalWords`` takes them over for
the rest of the process.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import gevent
from gevent.event import Event
from gevent.hub import get_hub
from greenlet import greenlet

STOP = "stop"
RELOAD = "reload"
CHANGED = "files changed"  # not a signal: queued by the file watch
REOPEN_LOGS = "reopen logs"
DUMP_GREENLETS = "dump greenlets"

WORDS: Mapping[int, str] = {
    signal.SIGTERM: STOP,
    signal.SIGINT: STOP,
    signal.SIGHUP: RELOAD,
    signal.SIGUSR1: REOPEN_LOGS,
    signal.SIGUSR2: DUMP_GREENLETS,
}


def hold() -> None:
    """Block the signals of ``WORDS`` until ``SignalWords`` takes them over; pending ones are delivered then. Threads
    that are started in between never get one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WORDS)


class StopAsked(BaseException):
    """A signal to stop arrived during the start; see ``SignalWords.raising``."""


class SignalWords:
    """A queue of words for the worker, oldest first. Handles the signals for the rest of the process.

    Construct it after any fork, because it starts watchers of the event loop.
    """

    __slots__ = ("_noted", "_starting", "_waiting", "_watchers")

    def __init__(self, words: Mapping[int, str] = WORDS) -> None:
        self._noted: list[str] = []
        self._waiting = Event()
        self._starting: greenlet | None = None
        self._watchers = [gevent.signal_handler(number, self.put, word) for number, word in words.items()]
        for number in sorted(signal.sigpending() & set(words)):
            self.put(words[number])  # at once, not after the next turn of the event loop
        signal.pthread_sigmask(signal.SIG_UNBLOCK, words)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Context in which the word to stop, even one already queued, raises StopAsked in the current greenlet."""
        self._starting = gevent.getcurrent()
        try:
            if STOP in self._noted:
                raise StopAsked
            yield
        finally:
            self._starting = None

    def put(self, word: str) -> None:
        """Queue a word for the worker."""
        if word not in self._noted:
            self._noted.append(word)
        self._waiting.set()
        if word == STOP and self._starting is not None:
            get_hub().loop.run_callback(self._raise)

    def _raise(self) -> None:
        """Runs in the hub; the start may be over by now."""
        if self._starting is not None:
            self._starting.throw(StopAsked)

    def wait(self) -> str:
        """Wait for a word and return the oldest. May switch."""
        self._waiting.wait()
        word = self._noted.pop(0)
        if not self._noted:
            self._waiting.clear()
        return word

    def close(self) -> None:
        """Restore the default actions. The daemon never does this, because a signal in its last moments must not change
        its exit status."""
        for watcher in self._watchers:
            watcher.cancel()
        self._watchers.clear()
