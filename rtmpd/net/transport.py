"""A socket as a source of bytes and an outlet that never waits.

The raw, non-blocking socket is used directly: the fan-out calls its ``send`` once per player and
flush, and one level of Python in between would be a tenth of the whole cost. Waiting is done on a
libev watcher, in ``recv`` only. An errno becomes ConnectionLost here and nowhere else.
"""

from __future__ import annotations

import errno
import select
import socket as stdlib_socket
import time
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent import monkey
from gevent.hub import get_hub

from ..errors import ConnectionLost

RECV_BYTES: Final = 65536  # more would pass malloc's mmap threshold and halve ingest
_TURN_S: Final = 0.005  # how long one busy peer may keep the hub before the others get a turn
_MOMENT_S: Final = 1e-6  # not 0: the hub runs callbacks many times over before it looks at sockets again

#: The stdlib's socket class, also where the module is patched.
RawSocket: Any = monkey.get_original("socket", "socket")
_poll: Final = monkey.get_original("select", "poll")  # gevent's own would wait for the hub


def errno_name(error: OSError) -> str:
    """Return the name of the error, as ``ECONNRESET``; the class name if it has no number."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


class Transport:
    """A plain TCP connection.

    ``send_now(data)`` takes as many bytes as fit, returns how many, and raises BlockingIOError if
    none do; it never switches greenlets. ``recv`` may. ``shutdown`` ends both directions from any
    greenlet or callback: a reader that waits sees the end of the stream. With ``gather_s`` a read
    takes place that long after the first byte came: for media that is held that long anyway.
    """

    __slots__ = (
        "_hub",
        "_likely_empty",
        "_loop",
        "_sock",
        "_sock_recv",
        "_turn_began",
        "_watcher",
        "gather_s",
        "send_now",
    )

    tls_version = ""
    tls_cipher = ""
    buffers = False  # whether it accepts bytes that the kernel has not taken yet

    def __init__(self, sock: Any) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._hub = get_hub()
        self._loop = self._hub.loop
        self._watcher = self._loop.io(sock.fileno(), 1)
        self._sock_recv: Callable[[int], bytes] = sock.recv
        self.send_now: Callable[[bytes], int] = sock.send
        self._likely_empty = False  # a client mostly sends at once
        self._turn_began = 0.0
        self.gather_s = 0.0

    def fileno(self) -> int:
        """The descriptor, -1 when closed."""
        return int(self._sock.fileno())

    def set_nodelay(self) -> None:
        """Send small replies at once (no effect on sockets that are not TCP)."""
        try:
            self._sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
        except OSError:
            pass  # a peer that reset already; recv will say so

    def recv(self) -> bytes:
        """Bytes as they come, ``b""`` at the end. May switch greenlets. Raises ConnectionLost."""
        while True:
            if self._likely_empty:
                # what hub.wait does, without its Waiter: this runs for every message of a live stream
                self._watcher.start(gevent.getcurrent().switch)
                try:
                    self._hub.switch()
                finally:
                    self._watcher.stop()
                self._turn_began = 0.0
                if self.gather_s:
                    gevent.sleep(self.gather_s)
            try:
                data = self._sock_recv(RECV_BYTES)
            except BlockingIOError:
                self._likely_empty = True
                continue
            except OSError as error:
                raise ConnectionLost(f"reading failed: {error}", errno_name(error)) from None
            if len(data) < RECV_BYTES:
                self._likely_empty = True
            else:
                self._likely_empty = False
                self.give_way()
            return data

    def recv_now(self) -> bytes | None:
        """Return bytes that have arrived already, None without any, ``b""`` at the end. Raises ConnectionLost."""
        try:
            return self._sock_recv(RECV_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ConnectionLost(f"reading failed: {error}", errno_name(error)) from None

    def give_way(self) -> None:
        """Let others run when this peer's bytes have kept us busy for a whole turn. May switch."""
        now = time.monotonic()
        if not self._turn_began:
            self._turn_began = now
        elif now - self._turn_began > _TURN_S:
            gevent.sleep(_MOMENT_S)
            self._turn_began = time.monotonic()

    def when_readable(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once from the hub when bytes (or the end) arrive."""

        self._watcher.start(self._arrived, callback)

    def _arrived(self, callback: Callable[[], None]) -> None:
        self._watcher.stop()
        self._likely_empty = False
        callback()

    def has_buffered(self) -> bool:
        """Whether bytes have arrived that no watcher will announce. Never, without TLS."""
        return False

    def flush(self) -> bool:
        """Whether nothing that was accepted is still unsent. Always true if it does not buffer."""
        return True

    def has_left(self) -> bool:
        """Return whether the peer has ended the connection, or its direction of it, however much is there to read."""
        poll = _poll()
        poll.register(self.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def writable_watcher(self) -> Any:
        """A fresh libev watcher for the moment this socket takes bytes again."""
        return self._loop.io(self._sock.fileno(), 2)

    def shutdown(self) -> None:
        """End both directions; what the kernel holds is still sent. Never raises."""
        self._shutdown(stdlib_socket.SHUT_RDWR)

    def shutdown_writing(self) -> None:
        """End our direction; the peer can still send. Never raises."""
        self._shutdown(stdlib_socket.SHUT_WR)

    def _shutdown(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError:
            pass  # already gone, which is what was wanted

    def detach(self) -> Any:
        """Give the socket up, for another transport, and free the watcher. Call instead of ``close``."""
        self._watcher.stop()
        self._watcher.close()
        return self._sock

    def close(self) -> None:
        """Free the descriptor and the watcher. Call once, from the greenlet that owns the connection."""
        self._watcher.stop()
        self._watcher.close()
        self._sock.close()
