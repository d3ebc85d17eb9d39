"""Writes every event to standard output, as a JSON line or as a block of shell variables.

Readers key on the prefix ``RTMP_EVENT: `` of a line, or on ``# RTMP Event: `` at the head of a block
that ends with a blank line. One event is one write, so lines of others never end up inside it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from select import POLLOUT

from gevent.monkey import get_original
from gevent.threadpool import ThreadPool

from ...errors import PermanentDeliveryError
from ...event.event import Event
from ..threads import in_thread

STDOUT = 1

_poll = get_original("select", "poll")


class StdioHook:
    """Writes to a descriptor from a thread of its own.

    Nobody may be reading: then the thread blocks, the lane's bounded queue fills and sheds its
    oldest events, and nothing else notices. That is also why ``execute`` knows no deadline: an
    event given up while the thread is in the middle of it would come out later all the same.
    """

    type = "stdio"

    def __init__(self, id: str, format: str, fd: int = STDOUT) -> None:
        self.id = id
        self._render = FORMATS[format]
        self._fd = fd
        self._thread = ThreadPool(1)

    def execute(self, event: Event, deadline: float) -> None:
        """Write the event. Raises PermanentDeliveryError when the reader is gone. May switch greenlets."""
        block = self._render(event)
        try:
            in_thread(self._thread, lambda: _write(self._fd, block))
        except OSError as error:
            raise PermanentDeliveryError(f"standard output: {error.strerror}", "stdout") from error

    def close(self) -> None:
        """End the thread; one that is blocked ends with the process."""
        self._thread.kill()


def json_line(event: Event) -> bytes:
    return b"RTMP_EVENT: " + event.json() + b"\n"


def env_block(event: Event) -> bytes:
    """A block that can be sourced. Values are quoted only where the shell needs it, so readers that
    split at ``=`` see what they always saw."""
    lines = [f"# RTMP Event: {event.type}"]
    lines += [f"{name}={shlex.quote(value) if value else ''}" for name, value in event.as_env().items()]
    return "\n".join([*lines, "", ""]).encode()


FORMATS: dict[str, Callable[[Event], bytes]] = {"json": json_line, "env": env_block}


def _write(fd: int, block: bytes) -> None:
    """One write in the usual case; what a full or non-blocking pipe did not take follows. Raises OSError."""
    view = memoryview(block)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            poll = _poll()
            poll.register(fd, POLLOUT)
            poll.poll()
