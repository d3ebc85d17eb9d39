"""Debugging aids for a running daemon: a backdoor, and reports of code that blocks the event loop."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any

from gevent import monkey, socket
from gevent.backdoor import BackdoorServer
from gevent.hub import get_hub
from gevent.threadpool import ThreadPool

from ..errors import StartError
from ..log import logger
from ..net.listen import listen_unix
from ..settings import DebugSettings

_BANNER = "rtmpd backdoor: everything here runs inside the daemon"
_REPORT_LINES = 40
_thread_id = monkey.get_original("_thread", "get_ident")  # the patched one returns the greenlet's
_pause = monkey.get_original("time", "sleep")

_log = logger("debug")


class Debug:
    """``names`` are the variables of the backdoor's prompt. ``start`` and ``stop`` once each."""

    def __init__(self, settings: DebugSettings, names: Mapping[str, object]) -> None:
        self._settings = settings
        self._names = dict(names)
        self._server: BackdoorServer | None = None
        self._watch: HubWatch | None = None
        self._path = ""

    def start(self) -> None:
        """Open the backdoor and start the reports. Raises StartError if the socket cannot be created."""
        if self._settings.report_blocking_s:
            self._watch = HubWatch(self._settings.report_blocking_s)
            self._watch.start()
        if self._settings.backdoor:
            self._path = self._settings.backdoor
            self._server = BackdoorServer(_listener(self._path), banner=_BANNER, locals=self._names)
            self._server.start()
            _log.warning("backdoor open: anyone who can reach it controls the daemon", path=self._path)

    def stop(self) -> None:
        """Close the backdoor and stop the reports. May switch."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if self._server is None:
            return
        self._server.stop(timeout=0)
        self._server = None
        try:
            os.unlink(self._path)
        except OSError as error:
            _log.warning("backdoor not removed", path=self._path, error=error.strerror)


def _listener(path: str) -> Any:
    """Return a listening socket that only our own user can reach. Raises StartError."""
    try:
        return socket.socket(fileno=listen_unix(path, 1).detach())
    except OSError as error:
        raise StartError(f"[debug] backdoor: {path}: {error.strerror}") from error


class HubWatch:
    """Logs the stack of the hub's thread when the loop has been blocked for ``seconds``.

    A timer of the loop beats. A separate thread checks the beat and keeps the stack when it is missing. The next beat
    logs the stack, with the time that it took. gevent's own monitor would also log all variables of all greenlets,
    including secrets.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._thread_id = _thread_id()
        self._beat_at = time.monotonic()
        self._stack: list[str] = []
        self._stopped = False
        self._timer: Any = None
        self._pool = ThreadPool(1)

    def start(self) -> None:
        """Start the timer and the thread."""
        self._timer = get_hub().loop.timer(self._seconds / 4, self._seconds / 4)
        self._timer.start(self._beat)
        self._pool.spawn(self._look)

    def stop(self) -> None:
        """Stop both. May switch."""
        self._stopped = True
        self._timer.stop()
        self._timer.close()
        self._pool.join()

    def _beat(self) -> None:
        late_s = time.monotonic() - self._beat_at
        stack, self._stack = self._stack, []
        if stack:
            _log.warning("event loop blocked", seconds=round(late_s, 3))
            for line in stack[-_REPORT_LINES:]:
                _log.warning(line)
        self._beat_at = time.monotonic()

    def _look(self) -> None:
        """Runs in the thread: take one stack each time the loop is blocked."""
        while not self._stopped:
            _pause(self._seconds / 4)
            if time.monotonic() - self._beat_at > self._seconds and not self._stack:
                frame = sys._current_frames().get(self._thread_id)
                self._stack = [line.rstrip() for text in traceback.format_stack(frame) for line in text.splitlines()]
