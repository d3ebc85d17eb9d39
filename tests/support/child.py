"""Processes that a test starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

ErrorType = type[BaseException] | None
REPOSITORY = Path(__file__).resolve().parents[2]


def rtmpd(*arguments: str) -> list[str]:
    """The command line of this tree's rtmpd; run it in ``REPOSITORY``."""
    return [sys.executable, "-m", "rtmpd", *arguments]


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Read from the kernel's table: a connection made to find out would be a peer with events of its own."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:] + Path("/proc/net/tcp6").read_text().splitlines()[1:]
    fields = (row.split() for row in rows)
    return any(field[3] == "0A" and int(field[1].rsplit(":", 1)[1], 16) == port for field in fields)


class Child:
    """A process in its own process group. Its stderr goes to ``log``, its stdout to ``output`` or there
    too; ``env`` is added to ours. Leaving the context ends the whole group."""

    def __init__(
        self, command: Sequence[str], log: Path, output: Path | None = None, env: dict[str, str] | None = None
    ) -> None:
        self.command = list(command)
        self.log = log
        with log.open("wb") as errors, (output or log).open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                cwd=REPOSITORY,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self, timeout_s: float = 20.0) -> int:
        """The exit status; AssertionError with the end of its log if it is still there after ``timeout_s``."""
        try:
            return self.process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s:g} s: {self.describe()}") from None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        if self.running():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def describe(self) -> str:
        return f"{' '.join(self.command)}\nits output ends:\n{self.text()[-2000:]}"

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: ErrorType, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
