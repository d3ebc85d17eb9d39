"""Hooks that a test holds in its hand."""

from __future__ import annotations

from gevent.event import Event as Signal

from rtmpd.event.event import Event


class HeldHook:
    """Records what it is given, and lets each execution go on only when ``go`` is set."""

    def __init__(self, id: str = "held", type: str = "test", open: bool = False) -> None:
        self.id = id
        self.type = type
        self.go = Signal()
        if open:
            self.go.set()
        self.started: list[str] = []
        self.done: list[str] = []
        self.running = self.most = 0
        self.closed = False

    def execute(self, event: Event, deadline: float) -> None:
        self.started.append(str(event))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            self.go.wait()
            self.done.append(str(event))
        finally:
            self.running -= 1

    def close(self) -> None:
        assert not self.running
        self.closed = True
