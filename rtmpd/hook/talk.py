"""A child process that exchanges lines with us over its standard input and output.

Both pipes are served by callbacks of the event loop, each as it is ready: the child may read slowly, answer early or
late, or fill its output before it reads on, and neither side waits for the other in a circle. Whoever exchanges
lines sleeps until the last answer is in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gevent.event import Event as Signal
from gevent.hub import get_hub
from gevent.monkey import get_original

from .child import Child

ANSWER_BYTES = 65536

_READ_BYTES = 65536
_DRAIN_READS = 16
_STATUS_WAIT_S = 0.2
_STDERR_LINES = 20
_STDERR_CHARS = 1000

# The patched one closes after the event loop has seen another event, and the child waits for the end of its stdin.
_close_now = get_original("os", "close")


class Talk:
    """A running child; ``take`` is given each line that it writes, and ``say`` each line of its stderr.

    ``take`` returns "" or what is wrong with the line, and then the talk is over, as it is when the child ends or shuts
    one of the pipes; ``problem`` says why. Raises OSError if the child cannot be started.
    """

    __slots__ = (
        "_answered",
        "_awaits",
        "_reader",
        "_stdin",
        "_stdout",
        "_tail",
        "_take",
        "_unsent",
        "_writer",
        "child",
        "problem",
    )

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        take: Callable[[bytes], str],
        say: Callable[[str], None],
    ) -> None:
        its_stdin, self._stdin = os.pipe()
        self._stdout, its_stdout = os.pipe()
        try:
            self.child = Child(argv, env, its_stdin, its_stdout, _Lines(say).add)
        except OSError:
            _close_now(self._stdin)
            _close_now(self._stdout)
            raise
        finally:
            _close_now(its_stdin)
            _close_now(its_stdout)
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)
        self.problem = ""
        self._take = take
        self._tail = b""
        self._unsent = memoryview(b"")
        self._awaits: Callable[[], object] = bool
        self._answered = Signal()
        loop = get_hub().loop
        self._writer: Any = loop.io(self._stdin, 2)
        self._reader: Any = loop.io(self._stdout, 1)
        self._reader.start(self._read)
        self.child.when_ended(self._on_exit)

    def exchange(self, lines: bytes, awaits: Callable[[], object], timeout_s: float) -> bool:
        """Write ``lines`` and wait until nothing is awaited any more or there is a ``problem``; False at the timeout.
        May switch greenlets."""
        self._awaits = awaits
        self._answered.clear()
        self._unsent = memoryview(bytes(self._unsent) + lines)
        self._write()
        if self._unsent and not self._writer.active:
            self._writer.start(self._write)
        if self.problem or not awaits():
            return True
        try:
            return bool(self._answered.wait(max(timeout_s, 0)))
        finally:
            self._awaits = bool

    def describe(self) -> str:
        """Why it is over, in words. May switch greenlets, for a moment."""
        self.child.wait(_STATUS_WAIT_S)  # the pipes say that it ended before the system says how
        status = self.child.returncode
        how = self.problem
        if status is not None and how.startswith(("ended", "closed")):
            how = f"ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
        last_line = self.child.errors.last_line()
        return f"{how}: {last_line[:_STDERR_CHARS]}" if last_line else how

    def kill(self) -> None:
        """SIGKILL to the child and its group, and the pipes closed."""
        self.child.kill()
        self._over("was killed")
        self.child.errors.forget()

    def end(self, grace_s: float) -> None:
        """Close its stdin and give it ``grace_s`` to end by itself; then SIGTERM to the group, and SIGKILL. What
        it still writes is thrown away. May switch greenlets."""
        self._take = lambda line: ""
        self._shut_stdin()
        try:
            if not self.child.wait(grace_s):
                self.child.end(grace_s)
        finally:
            self.kill()

    # --- callbacks of the event loop ---------------------------------------------------------------

    def _write(self) -> None:
        if self._stdin < 0:
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._stdin, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._drain("closed its standard input")
            return
        self._writer.stop()

    def _read(self) -> bool:
        """Take what one read brings; False if there was nothing."""
        if self._stdout < 0:
            return False
        try:
            piece = os.read(self._stdout, _READ_BYTES)
        except BlockingIOError:
            return False
        if not piece:
            self._over("closed its standard output")
            return False
        lines = (self._tail + piece).split(b"\n")
        self._tail = lines.pop()
        for line in lines:
            if line and (problem := self._take(line)):
                self._over(problem)
                return False
        if len(self._tail) > ANSWER_BYTES:
            self._over(f"wrote a line of more than {ANSWER_BYTES} bytes")
        elif not self._awaits():
            self._answered.set()
        return True

    def _on_exit(self) -> None:
        """Something it left in the background may hold the pipe, which then never ends."""
        self._drain("ended")

    def _drain(self, problem: str) -> None:
        """What it answered before counts."""
        for _ in range(_DRAIN_READS):
            if not self._read():
                break
        self._over(problem)

    def _over(self, problem: str) -> None:
        if self.problem:
            return
        self.problem = problem
        self._shut_stdin()
        self._reader.stop()
        self._reader.close()
        _close_now(self._stdout)
        self._stdout = -1
        self._answered.set()

    def _shut_stdin(self) -> None:
        if self._stdin < 0:
            return
        self._unsent = memoryview(b"")
        self._writer.stop()
        self._writer.close()
        _close_now(self._stdin)
        self._stdin = -1


class _Lines:
    """Cuts output into lines. If a piece has many lines, only the first are logged, then the number of the rest."""

    __slots__ = ("_say", "_tail")

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._tail = b""

    def add(self, piece: bytes) -> None:
        lines = (self._tail + piece).split(b"\n")
        self._tail = lines.pop()[-_STDERR_CHARS:]
        filled = [line for line in lines if line.strip()]
        for line in filled[:_STDERR_LINES]:
            self._say(line.decode("utf-8", "replace")[:_STDERR_CHARS])
        if len(filled) > _STDERR_LINES:
            self._say(f"({len(filled) - _STDERR_LINES} more lines)")
