"""The queue of bytes that a connection has to send and the kernel has not taken yet.

``write`` tries to send at once; what is left waits for a writable socket. The queue here is for
bytes that may not be lost: replies, and the rest of a message that was begun. Media that may be
dropped waits in the player's own backlog (``stream/subscriber``), which is notified when this queue
becomes busy and when it has drained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..clock import Clock
from .tls import TlsTransport
from .transport import Transport, errno_name


class Listener(Protocol):
    """A sender that uses the same connection past this queue while the queue is empty."""

    def on_busy(self) -> None:
        """Bytes are waiting: send nothing past the queue."""

    def on_drained(self) -> None:
        """The queue is empty again."""


class Writer:
    """The outgoing side of one connection. No method switches greenlets or raises.

    While it is ``corked`` and has no listener, what is written is ``held``: one read is answered in one send.
    ``busy`` says whether bytes wait; ``stalled_since`` is the monotonic time since which the
    socket has taken nothing while it is. ``on_failure(code, message)`` is called once if sending
    fails, or if more than ``limit_bytes`` wait after the piece that the socket is taking: that one may be the rest of
    a picture of any size, and says nothing about whether the peer reads.
    """

    __slots__ = (
        "_clock",
        "_failed",
        "_head_bytes",
        "_limit_bytes",
        "_listeners",
        "_on_failure",
        "_queue",
        "_transport",
        "_watcher",
        "busy",
        "bytes_sent",
        "corked",
        "held",
        "queued_bytes",
        "stalled_since",
    )

    def __init__(
        self, transport: Transport, clock: Clock, limit_bytes: int, on_failure: Callable[[str, str], None]
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._on_failure = on_failure
        self._queue: list[bytes] = []
        self._listeners: list[Listener] = []
        self._watcher: Any = None
        self.corked = False
        self.held: list[bytes] = []
        self._failed = False
        self._head_bytes = 0  # what is left of the first piece in the queue
        self.busy = False
        self.bytes_sent = 0
        self.queued_bytes = 0
        self.stalled_since = 0.0
        if isinstance(transport, TlsTransport):
            transport.on_unsent = self._become_busy

    @property
    def send_now(self) -> Callable[[bytes], int]:
        """The transport's own ``send_now``, for listeners only."""
        return self._transport.send_now

    def listen(self, listener: Listener) -> None:
        """Notify ``listener`` of busy and drained from now on. It sends past what is held, so that is sent now."""
        self.uncork()
        self._listeners.append(listener)

    def ignore(self, listener: Listener) -> None:
        """Stop notifying ``listener``."""
        self._listeners.remove(listener)

    def uncork(self) -> None:
        """Send what is held, in one piece, and hold nothing more."""
        self.corked = False
        if self.held:
            held, self.held = self.held, []
            self.write(held[0] if len(held) == 1 else b"".join(held))

    def write(self, data: bytes) -> None:
        """Send all of ``data``, in order, now or later."""
        if self.corked and not self._listeners:
            self.held.append(data)
            return
        if not self.busy:
            size = len(data)
            try:
                sent = self._transport.send_now(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self.fail(errno_name(error), f"writing failed: {error}")
                return
            self.bytes_sent += sent
            if sent == size:
                if self._transport.buffers and not self._transport.flush():
                    self._become_busy()
                return
            data = data[sent:]
        self.push(data)

    def push(self, data: bytes) -> None:
        """Queue bytes whose beginning may have been sent past the queue already."""
        if self._failed:
            return
        self.uncork()
        if not self._queue:
            self._head_bytes = len(data)
        elif self.queued_bytes - self._head_bytes > self._limit_bytes:
            self.fail("send_queue_full", f"{self.queued_bytes} bytes are waiting and the peer does not read")
            return
        self._queue.append(data)
        self.queued_bytes += len(data)
        self._become_busy()

    def fail(self, code: str, message: str) -> None:
        """Give up on this direction; ``on_failure`` is called once."""
        if not self._failed:
            self._failed = True
            self._queue.clear()
            self.queued_bytes = 0
            self._unwatch()
            self._on_failure(code, message)

    def close(self) -> None:
        """Stop watching; nothing more is sent. Call once."""
        self._failed = True
        if self._watcher is not None:
            self._unwatch()
        self._queue.clear()
        self._listeners.clear()

    def _become_busy(self) -> None:
        if self.busy or self._failed:
            return
        self.busy = True
        self.stalled_since = self._clock.monotonic()
        self._watcher = self._transport.writable_watcher()
        self._watcher.start(self._drain)
        for listener in self._listeners:
            listener.on_busy()

    def _unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None

    def _drain(self) -> None:
        """Called from the hub when the socket takes bytes."""
        self.stalled_since = self._clock.monotonic()
        try:
            while self._transport.flush() and self._queue:
                data = b"".join(self._queue) if len(self._queue) > 1 else self._queue[0]
                sent = self._transport.send_now(data)
                self.bytes_sent += sent
                self.queued_bytes -= sent
                self._head_bytes = max(0, self._head_bytes - sent)
                self._queue = [data[sent:]] if sent < len(data) else []
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(errno_name(error), f"writing failed: {error}")
            return
        if self._queue or not self._transport.flush():
            return
        self.busy = False
        self._unwatch()
        for listener in tuple(self._listeners):
            if self.busy:
                break
            listener.on_drained()
