"""Child processes: started without a fork, each in its own session, and ended as a group.

``os.posix_spawn`` costs the daemon the same whatever its size, where ``gevent.subprocess`` forks in
Python with the event loop stopped. The exit comes from a libev child watcher. It must be started
before the first switch after the spawn: libev reaps every child, and forgets those nobody watches.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent
from gevent.event import Event as Signal
from gevent.hub import get_hub
from gevent.monkey import get_original

OUTPUT_BYTES = 65536
GRACE_S = 2.0

_POLL_S = 0.02
_LINGERING_PIPES = 1024
_INHERITED = ("PATH", "HOME", "LANG", "TZ")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The patched one would start a watcher of its own and keep every status for a waitpid nobody calls.
_posix_spawn = get_original("os", "posix_spawn")
# The patched one closes at the next turn of the event loop, for descriptors that may be watched.
_close_now = get_original("os", "close")


def base_env() -> dict[str, str]:
    """What a child sees of the daemon's environment, which holds secrets: where programs are, and the locale."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {"PATH": _DEFAULT_PATH, **inherited}


class ErrorOutput:
    """Reads a child's stderr, keeps the last ``OUTPUT_BYTES`` and counts all of it; ``on_output`` is given each piece.

    A background process may hold the pipe longer than the child lives. Closing our end would kill
    it with SIGPIPE at its next word, so after ``forget`` the pipe is still drained, into nothing,
    until its last writer ends. No greenlet is bound, and of such pipes there are at most
    ``_LINGERING_PIPES``; those beyond are closed.
    """

    __slots__ = ("_fd", "_kept", "_on_output", "_tail", "_watcher", "count")

    _lingering = 0

    def __init__(self, fd: int, on_output: Callable[[bytes], None] | None = None) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._on_output = on_output
        self._tail = b""
        self._kept = True
        self.count = 0
        self._watcher: Any = get_hub().loop.io(fd, 1)
        self._watcher.start(self._read)

    def last_line(self) -> str:
        """The last line that is not blank, for a log."""
        self._read()
        lines = self._tail.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def forget(self) -> None:
        """Stop keeping what comes. Never waits."""
        self._read()
        self._kept = False
        self._tail = b""
        if self._fd < 0:
            return
        if ErrorOutput._lingering >= _LINGERING_PIPES:
            self._close()
        else:
            ErrorOutput._lingering += 1

    def _read(self) -> None:
        """Take what one read brings: a callback of the event loop, so it takes turns with all others."""
        if self._fd < 0:
            return
        try:
            piece = os.read(self._fd, OUTPUT_BYTES)
        except BlockingIOError:
            return
        if not piece:
            if not self._kept:
                ErrorOutput._lingering -= 1
            self._close()
            return
        self.count += len(piece)
        if self._kept:
            self._tail = (self._tail + piece)[-OUTPUT_BYTES:]
            if self._on_output:
                self._on_output(piece)

    def _close(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        os.close(self._fd)
        self._fd = -1


class Child:
    """A running child. stdin and stdout are /dev/null or the descriptors given, which stay the caller's; stderr is
    ``errors``, and ``on_output`` is given each piece of it.

    Raises OSError if it cannot be started.
    """

    __slots__ = ("_exited", "_watcher", "errors", "pid", "returncode")

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        stdin: int | None = None,
        stdout: int | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> None:
        loop = get_hub().loop
        loop.install_sigchld()
        read_end, write_end = os.pipe()  # close-on-exec, like every descriptor Python makes
        try:
            self.pid = _spawn(argv, env, stdin, stdout, write_end)
        except OSError:
            _close_now(read_end)
            raise
        finally:
            _close_now(write_end)
        self._exited = Signal()
        self._watcher: Any = loop.child(self.pid)
        self._watcher.start(self._on_exit)
        self.errors = ErrorOutput(read_end, on_output)
        #: The exit status, or minus the number of the signal that ended it; None while it runs.
        self.returncode: int | None = None

    def wait(self, timeout_s: float) -> bool:
        """Wait for the child itself, not for what it left in the background. May switch greenlets."""
        return bool(self._exited.wait(max(timeout_s, 0)))

    def when_ended(self, call: Callable[[], None]) -> None:
        """Have ``call`` called by the event loop when the child itself has ended; it must not wait."""
        self._exited.rawlink(lambda _: call())

    def end(self, grace_s: float = GRACE_S) -> None:
        """SIGTERM to the whole group, and SIGKILL to what is left of it after the grace. May switch greenlets."""
        waited_s = 0.0
        self._signal(signal.SIGTERM)
        try:
            while waited_s < grace_s and self._signal(0):
                gevent.sleep(_POLL_S)
                waited_s += _POLL_S
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> bool:
        """Return whether somebody in the group was there to be signalled."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def _on_exit(self) -> None:
        self.returncode = os.waitstatus_to_exitcode(self._watcher.rstatus)
        self._watcher.stop()
        self._watcher.close()
        self._exited.set()


def _spawn(
    argv: Sequence[str], env: Mapping[str, str], stdin: int | None, stdout: int | None, stderr: int
) -> int:
    pid: int = _posix_spawn(
        argv[0],
        argv,
        env,
        file_actions=[
            _standard(0, stdin, os.O_RDONLY),
            _standard(1, stdout, os.O_WRONLY),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them, and children inherit that
    )
    return pid


def _standard(number: int, given: int | None, mode: int) -> tuple[object, ...]:
    """The file action for a standard descriptor of the child."""
    if given is None:
        return (os.POSIX_SPAWN_OPEN, number, os.devnull, mode, 0)
    return (os.POSIX_SPAWN_DUP2, given, number)
