"""What helps to find out what a running daemon does: a way in, and reports of whatever holds the event loop up."""

from __future__ import annotations

import os
import socket as stdlib_socket
import stat
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

import gevent
from gevent import events, socket
from gevent.backdoor import BackdoorServer
from gevent.hub import get_hub

from ..errors import StartError
from ..log import logger
from ..settings import DebugSettings

_BANNER = "rtmpd backdoor: everything here runs inside the daemon"
_REPORT_LINES = 40

_log = logger("debug")


class Debug:
    """``names`` are what the way in has at hand. ``start`` and ``stop`` once each."""

    def __init__(self, settings: DebugSettings, names: Mapping[str, object]) -> None:
        self._settings = settings
        self._names = dict(names)
        self._server: BackdoorServer | None = None
        self._path = ""

    def start(self) -> None:
        """Raises StartError if the socket can not be made. Never switches."""
        if self._settings.report_blocking_s:
            _watch_the_hub(self._settings.report_blocking_s)
        if self._settings.backdoor:
            self._path = self._settings.backdoor
            self._server = BackdoorServer(_listener(self._path), banner=_BANNER, locals=self._names)
            self._server.start()
            _log.warning("backdoor open: who can reach it is the daemon", path=self._path)

    def stop(self) -> None:
        """Close the way in. May switch greenlets."""
        if self._server is None:
            return
        self._server.stop(timeout=0)
        self._server = None
        try:
            os.unlink(self._path)
        except OSError as error:
            _log.warning("backdoor not removed", path=self._path, error=error.strerror)


def _listener(path: str) -> Any:
    """A listening socket that only our own user can reach. What an earlier daemon has left is replaced, what is no
    socket is not."""
    try:
        if os.path.lexists(path):
            if not stat.S_ISSOCK(os.lstat(path).st_mode):
                raise StartError(f"[debug] backdoor: {path} exists and is no socket")
            os.unlink(path)
        listener = socket.socket(stdlib_socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(1)
    except OSError as error:
        raise StartError(f"[debug] backdoor: {path}: {error.strerror}") from error
    return listener


def _watch_the_hub(seconds: float) -> None:
    """Have a thread log where the hub's thread is when it has not come round for that long."""
    gevent.config.monitor_thread = True
    gevent.config.max_blocking_time = seconds
    if _report not in events.subscribers:
        events.subscribers.append(_report)
    get_hub().start_periodic_monitoring_thread()


def _report(event: object) -> None:
    if isinstance(event, events.EventLoopBlocked):
        lines = [line for text in event.info for line in str(text).splitlines()]
        stack = list(takewhile(lambda line: not line.startswith("Info:"), lines))  # then come all greenlets
        _log.warning("event loop blocked", seconds=event.blocking_time)
        for line in stack[-_REPORT_LINES:]:
            _log.warning(line)
