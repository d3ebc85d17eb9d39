"""The real daemon as a process, seen as its users see it: flags in, event lines and a log out.

Events are read from a file that stands for its stdout, so nothing here can hold the daemon up, and
the raw bytes stay there for the tests that judge them.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests import contract
from tests.support import ledger
from tests.support.child import Child, ErrorType, free_port, is_listening, rtmpd
from tests.support.waiting import wait_until

Event = dict[str, Any]
PREFIX = b"RTMP_EVENT: "
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Daemon:
    """``rtmpd`` on a free port, until the context ends: then it must stop with status 0 on SIGTERM, and
    its events must balance (see ``ledger.py``) and be what the catalogue says (``contract.py``).

    ``ini`` is written to a file and given with ``-c``; ``arguments`` are appended to the command line;
    ``env`` is added to its environment.
    """

    def __init__(
        self,
        home: Path,
        arguments: Sequence[str] = (),
        ini: str = "",
        events: str = "json",
        env: dict[str, str] | None = None,
    ) -> None:
        self.home = home
        self.env = env
        self.port = free_port()
        self.ini = home / "rtmpd.ini"
        self.stdout = home / "stdout"
        command = rtmpd("-listen", f"127.0.0.1:{self.port}")
        if ini:
            self.ini.write_text(ini)
            command = rtmpd("-c", str(self.ini), "-listen", f"127.0.0.1:{self.port}")
        if events:
            command += ["-hook-stdio-format", events]
        self.command = [*command, *arguments]

    def __enter__(self) -> Daemon:
        self.child = Child(self.command, self.home / "stderr", self.stdout, self.env)
        try:
            wait_until(lambda: is_listening(self.port) or not self.child.running(), "rtmpd listens", 20.0)
            assert self.child.running(), f"rtmpd did not start: {self.child.describe()}"
        except AssertionError:
            self.child.close()
            raise
        return self

    def __exit__(self, kind: ErrorType, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None and self.child.running():
                status = self.stop()
                assert status == 0, f"exit status {status}: {self.child.describe()}"
            if kind is None:
                assert "Traceback" not in self.log(), f"an error escaped: {self.child.describe()}"
                faults = ledger.faults(self.events)
                assert not faults, "the events do not balance:\n" + "\n".join(faults)
                faults = contract.faults(self.events)
                assert not faults, "events are not what the catalogue says:\n" + "\n".join(faults)
        finally:
            self.child.close()

    def stop(self, signal_number: int = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        """Ask it to end and return its exit status."""
        self.child.signal(signal_number)
        return self.child.wait(timeout_s)

    def url(self, key: str) -> str:
        return f"rtmp://127.0.0.1:{self.port}/{key}"

    def log(self) -> str:
        """What it wrote on stderr up to now."""
        return self.child.text()

    # --- events -------------------------------------------------------------------------------

    def event_lines(self) -> list[bytes]:
        """The complete event lines of stdout, with their prefix and without their newline."""
        return [line for line in self.stdout.read_bytes().split(b"\n")[:-1] if line.startswith(PREFIX)]

    @property
    def events(self) -> list[Event]:
        return [json.loads(line[len(PREFIX) :]) for line in self.event_lines()]

    def of(self, type_: str, key: str | None = None) -> list[Event]:
        """The events of one type (and one stream) up to now."""
        return [one for one in self.events if one["type"] == type_ and key in (None, one["stream_key"])]

    def wait_count(self, type_: str, key: str | None, count: int, timeout_s: float = 15.0) -> list[Event]:
        """Wait for ``count`` events of one type (and one stream) and return them."""

        def enough() -> list[Event]:
            found = self.of(type_, key)
            return found if len(found) >= count else []

        return wait_until(enough, f"{count} {type_} of {key}", timeout_s)

    def wait_event(self, type_: str, timeout_s: float = 15.0, **match: object) -> Event:
        """Wait for an event whose envelope or data has all of ``match``."""

        def fits(one: Event) -> bool:
            return all(one.get(name, one["data"].get(name)) == value for name, value in match.items())

        found = wait_until(lambda: [one for one in self.of(type_) if fits(one)], f"{type_} with {match}", timeout_s)
        return found[0]

    def wait_log(self, condition: Callable[[str], bool], what: str, timeout_s: float = 10.0) -> None:
        wait_until(lambda: condition(self.log()), what, timeout_s)

    # --- the process --------------------------------------------------------------------------

    def rss_bytes(self) -> int:
        """Resident memory now."""
        return int(Path(f"/proc/{self.child.pid}/statm").read_text().split()[1]) * PAGE_BYTES

    def descriptors(self) -> int:
        """How many file descriptors are open now."""
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))
