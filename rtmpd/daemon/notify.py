"""Notifies systemd: each state is one datagram to the socket that ``NOTIFY_SOCKET`` names.

Source: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5) for ``Type=notify`` and ``notify-reload``.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

from ..log import logger

_log = logger("daemon")


class Notifier:
    """Sends states to systemd; does nothing without a socket in ``environ``. The variables are removed, so that no
    child process speaks for us. Never raises."""

    __slots__ = ("_address", "_failed", "watchdog_s")

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        name = environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._failed = False
        self.watchdog_s = _watchdog_s(environ) if name else 0.0

    def ready(self, status: str = "") -> None:
        """Report that the start or a reload is complete."""
        self._send("READY=1", f"MAINPID={os.getpid()}", *_status(status))

    def reloading(self) -> None:
        """Report that a reload begins; ``ready`` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> None:
        """Report that the daemon stops."""
        self._send("STOPPING=1", *_status(status))

    def alive(self, status: str = "") -> None:
        """Notify the watchdog if there is one; call it every ``watchdog_s``."""
        self._send(*(["WATCHDOG=1"] if self.watchdog_s else []), *_status(status))

    def _send(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.connect(self._address)
                sock.send("\n".join(lines).encode())
        except OSError as error:
            if not self._failed:
                _log.warning("cannot notify the service manager", error=error.strerror or error)
            self._failed = True


def _status(text: str) -> list[str]:
    return [f"STATUS={' '.join(text.split())}"] if text else []


def _watchdog_s(environ: MutableMapping[str, str]) -> float:
    """Return half of the watchdog's timeout in seconds; 0 without a watchdog, or if it is for another process."""
    allowed = environ.pop("WATCHDOG_USEC", "")
    whose = environ.pop("WATCHDOG_PID", "")
    if not allowed.isdecimal() or whose not in ("", str(os.getpid())):
        return 0.0
    return int(allowed) / 2_000_000
