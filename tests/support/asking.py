"""Questions, and a clock that a test moves."""

from __future__ import annotations

from typing import Any

from rtmpd.clock import Clock
from rtmpd.identity import StreamId
from rtmpd.server.access.question import Question


def ask(key: str = "live/a", token: str = "", action: str = "publish", address: str = "192.0.2.7") -> Question:
    """Whether ``action`` on the stream ``key`` is allowed."""
    app, _, name = key.rpartition("/")
    return Question(action, StreamId(app, name), token, address, 50123)


class StandingClock(Clock):
    """``now`` is both clocks."""

    __slots__ = ("now",)

    def __init__(self, now: float = 1_766_400_000.0) -> None:
        self.now = now

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Endpoint:
    """What a callback asks: the answers are given one after another, the last one over and over."""

    def __init__(self, *answers: tuple[int, bytes] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[bytes, float]] = []

    def __call__(self, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        self.asked.append((body, timeout_s))
        answer: Any = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer
