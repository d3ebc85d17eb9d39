"""Signals as words for one worker.

A handler only notes its word and sets an event: an exception that escaped from a gevent signal handler
would end the process, and one greenlet per signal would let two reloads overlap. A word that is noted
already is not noted twice, so a burst of HUPs becomes one reload.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping

import gevent
from gevent.event import Event

STOP = "stop"
RELOAD = "reload"
REOPEN_LOGS = "reopen logs"
DUMP_GREENLETS = "dump greenlets"

WORDS: Mapping[int, str] = {
    signal.SIGTERM: STOP,
    signal.SIGINT: STOP,
    signal.SIGHUP: RELOAD,
    signal.SIGUSR1: REOPEN_LOGS,
    signal.SIGUSR2: DUMP_GREENLETS,
}


class SignalWords:
    """Words that wait for the worker, oldest first. Takes the signals over until ``close``.

    Construct it after any fork: it starts watchers of the event loop.
    """

    __slots__ = ("_noted", "_waiting", "_watchers")

    def __init__(self, words: Mapping[int, str] = WORDS) -> None:
        self._noted: list[str] = []
        self._waiting = Event()
        self._watchers = [gevent.signal_handler(number, self.put, word) for number, word in words.items()]

    def put(self, word: str) -> None:
        """Note a word for the worker. Never switches greenlets."""
        if word not in self._noted:
            self._noted.append(word)
        self._waiting.set()

    def wait(self) -> str:
        """The oldest word, as soon as there is one. May switch greenlets."""
        self._waiting.wait()
        word = self._noted.pop(0)
        if not self._noted:
            self._waiting.clear()
        return word

    def close(self) -> None:
        """Leave the signals to whoever had them."""
        for watcher in self._watchers:
            watcher.cancel()
        self._watchers.clear()
