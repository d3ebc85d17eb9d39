"""Starts and kills the processes of a run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .auditor import Verdict, audit_folder
from .producer import ORDERS, prepare

ROOT = Path(__file__).resolve().parents[2]
_DRAIN_S = 90.0


@dataclass
class Sink:
    """A receiver that runs. ``url`` is what hooks post to, with their name behind it."""

    folder: Path
    url: str
    process: subprocess.Popen[str]

    def mode(self, hook: str, mode: str, **more: Any) -> None:
        """How the requests of that hook are answered from now on; "" is all hooks."""
        body = json.dumps({"hook": hook, "mode": mode, **more}).encode()
        request = urllib.request.Request(f"{self.url}/mode", body, method="POST")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10):
            pass


@contextmanager
def receiving(folder: Path, seed: int = 1) -> Iterator[Sink]:
    """A receiver that writes its ledger into ``folder``."""
    command = [sys.executable, "-m", "tests.faults.receiver", str(folder), str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    try:
        assert process.stdout
        port = int(process.stdout.readline())
        yield Sink(folder, f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


class Producer:
    """One producer process; it waits for ``go``."""

    def __init__(self, sink: Sink, failpoint: str = "", **order: Any) -> None:
        self.failpoint = failpoint
        text = json.dumps({"folder": str(sink.folder), "url": sink.url, **order})
        env = {**os.environ, "RTMPD_FAILPOINT": failpoint}
        with (sink.folder / "producer.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.producer", text],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                text=True,
                env=env,
            )

    def go(self) -> None:
        """Let it begin, as soon as it can, and wait until it has opened the store."""
        assert self.process.stdin and self.process.stdout
        assert self.process.stdout.readline() == "ready\n"
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        if not self.failpoint:
            assert self.process.stdout.readline() == "up\n"

    def kill(self) -> None:
        """SIGKILL, and what is left is taken away."""
        self.process.send_signal(signal.SIGKILL)
        self.wait(10)

    def wait(self, seconds: float) -> int:
        """Its exit status."""
        try:
            return self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe:
                    pipe.close()


@dataclass
class Run:
    """Some producers one after another over one store, each killed, and a last one that drains."""

    sink: Sink
    order: dict[str, Any] = field(default_factory=dict)
    kills: int = 0

    def __post_init__(self) -> None:
        prepare(self.sink.folder)

    def kill_at_random(self, times: int, seed: int, shortest_s: float = 0.05, longest_s: float = 0.8) -> None:
        """The next producer is being started while the last one works, so that most of the time is work."""
        draw = random.Random(seed)
        following = Producer(self.sink, **self.order)
        for left in range(times, 0, -1):
            producer = following
            producer.go()
            if left > 1:
                following = Producer(self.sink, **self.order)
            try:
                producer.process.wait(draw.uniform(shortest_s, longest_s))
                raise AssertionError(f"the producer ended by itself: {self.log_tail()}")
            except subprocess.TimeoutExpired:
                producer.kill()
            self.kills += 1

    def die_at(self, failpoint: str, within_s: float = 30.0, **order: Any) -> None:
        """One producer that kills itself at the failpoint."""
        producer = Producer(self.sink, failpoint, **(self.order | order))
        producer.go()
        status = producer.wait(within_s)
        assert status == -signal.SIGKILL, f"{failpoint}: ended with {status}: {self.log_tail()}"
        self.kills += 1

    def drain(self) -> Verdict:
        """Deliver the rest, end in order, and judge."""
        self.sink.mode("", "ok")
        producer = Producer(self.sink, **(self.order | {"drain": True}))
        producer.go()
        assert producer.wait(_DRAIN_S) == 0, self.log_tail()
        return self.verdict()

    def verdict(self) -> Verdict:
        return audit_folder(self.sink.folder, ORDERS)

    def log_tail(self) -> str:
        """What the producers said last."""
        text = (self.sink.folder / "producer.log").read_text(errors="replace")
        return text[-3000:]
