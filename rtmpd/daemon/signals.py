"""Signals as words for one worker.

A handler only notes its word and sets an event: an exception that escaped from a gevent signal handler
would end the process, and one greenlet per signal would let two reloads overlap. A word that is noted
already is not noted twice, so a burst of HUPs becomes one reload.

Any process that finds us may signal us, and the pid file can be read from the moment it has a number until it is
gone. The default action of HUP and USR1 is to end the process, so the kernel holds our signals back from before the pid
file is written (``hold``) until ``SignalWords`` are there to take them, and those stay until the process ends.
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
CHANGED = "files changed"  # no signal: a file watch says so
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
    """Block the signals of ``WORDS``: the kernel keeps them until ``SignalWords`` takes them; one that comes in
    between is delivered then. Threads that are started meanwhile never get one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WORDS)


class StopAsked(BaseException):
    """A signal to stop came while the daemon starts; see ``SignalWords.raising``."""


class SignalWords:
    """Words that wait for the worker, oldest first. Takes the signals over for the rest of the process.

    Construct it after any fork: it starts watchers of the event loop.
    """

    __slots__ = ("_noted", "_starting", "_waiting", "_watchers")

    def __init__(self, words: Mapping[int, str] = WORDS) -> None:
        self._noted: list[str] = []
        self._waiting = Event()
        self._starting: greenlet | None = None
        self._watchers = [gevent.signal_handler(number, self.put, word) for number, word in words.items()]
        for number in sorted(signal.sigpending() & set(words)):
            self.put(words[number])  # known now, not only when the event loop has turned
        signal.pthread_sigmask(signal.SIG_UNBLOCK, words)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Inside of it a word to stop, one that is noted already too, raises StopAsked in the greenlet that waits
        there."""
        self._starting = gevent.getcurrent()
        try:
            if STOP in self._noted:
                raise StopAsked
            yield
        finally:
            self._starting = None

    def put(self, word: str) -> None:
        """Note a word for the worker."""
        if word not in self._noted:
            self._noted.append(word)
        self._waiting.set()
        if word == STOP and self._starting is not None:
            get_hub().loop.run_callback(self._raise)

    def _raise(self) -> None:
        """In the hub: the start may be over by now."""
        if self._starting is not None:
            self._starting.throw(StopAsked)

    def wait(self) -> str:
        """The oldest word, as soon as there is one. May switch greenlets."""
        self._waiting.wait()
        word = self._noted.pop(0)
        if not self._noted:
            self._waiting.clear()
        return word

    def close(self) -> None:
        """Leave the signals to their default actions. The daemon never does: a signal in its last moments must not
        change its exit status."""
        for watcher in self._watchers:
            watcher.cancel()
        self._watchers.clear()
