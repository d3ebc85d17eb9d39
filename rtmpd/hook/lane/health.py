"""How the endpoint of one lane is doing, and so when it may be asked, and by how many at once."""

from __future__ import annotations

import random
from collections.abc import Callable

from ...backoff import Backoff
from ...clock import Clock
from ...settings import RetrySettings
from .. import fault
from .adaptive import Adaptive
from .breaker import Breaker
from .pause import Pause
from .schedule import Delivery


class Health:
    """``resume`` is called when a pause is over. ``limit`` is how many executions may be under way, ``why`` the fault
    that opened the breaker, ``probe`` what was begun last while it was open. No method switches."""

    __slots__ = ("_adaptive", "_backoff", "_breaker", "_pause", "concurrency", "limit", "probe", "why")

    def __init__(
        self,
        hook_id: str,
        settings: RetrySettings,
        concurrency: int,
        is_adaptive: bool,
        clock: Clock,
        resume: Callable[[], None],
    ) -> None:
        self._backoff = _backoff(settings)
        self._breaker = Breaker(settings.breaker_failures)
        self._pause = Pause(f"hook-pause-{hook_id}", clock, resume)
        self._adaptive = Adaptive(concurrency) if is_adaptive else None
        self.concurrency = self.limit = concurrency
        self.why = ""
        self.probe: Delivery | None = None
        self._set_limit()

    @property
    def is_paused(self) -> bool:
        return self._pause.is_on

    @property
    def is_open(self) -> bool:
        """Whether the endpoint is only probed."""
        return self._breaker.is_open

    @property
    def faults(self) -> int:
        """Faults of the endpoint since its last success."""
        return self._breaker.faults

    @property
    def is_patient(self) -> bool:
        """Whether anything is tried more than once."""
        return self._backoff.max_attempts > 1

    def is_last(self, attempts: int) -> bool:
        """Whether an event that was tried so often is not tried again."""
        return self._backoff(attempts) is None

    def resize(self, concurrency: int) -> None:
        """Allow as many executions as that, if the endpoint can take them."""
        self.concurrency = concurrency
        if self._adaptive:
            self._adaptive.most = concurrency
        self._set_limit()

    def succeeded(self, seconds: float, active: int) -> bool:
        """An execution went well; whether that closed the breaker."""
        closed = False
        if self._adaptive:
            self._adaptive.succeeded(seconds, active)
        elif self._breaker.is_quiet:
            return False
        if not self._breaker.is_quiet:
            closed = self._breaker.succeeded(self.concurrency)
        self._set_limit()
        return closed

    def failed(self, verdict: str, attempts: int, wish_s: float | None) -> bool:
        """An execution failed by a fault of the endpoint or of the credentials: there is a pause now, and when that
        has happened often enough the endpoint is only probed. Whether that opened the breaker."""
        if self._adaptive:
            self._adaptive.failed()
        opened = False
        # An endpoint that says when to come again is not dead.
        if (wish_s is None or self._breaker.is_open) and self._breaker.failed(at_once=verdict == fault.AUTH):
            self.why = verdict
            opened = True
        self._set_limit()
        tries = self._breaker.tries or attempts
        self._pause.last(max(self._backoff.pause_s(tries), wish_s or 0.0))
        return opened

    def end_pause(self) -> None:
        """Whatever it was for, it is over; ``resume`` is not called."""
        self._pause.end()

    def lift(self) -> None:
        """Nothing limits the last executions of a lane that ends."""
        self._pause.end()
        self.limit = self.concurrency

    def _set_limit(self) -> None:
        most = self._adaptive.limit if self._adaptive else self.concurrency
        self.limit = self._breaker.limit(most)


def _backoff(retry: RetrySettings) -> Backoff:
    draw: Callable[[], float] | None = random.random if retry.jitter else None
    return Backoff(
        retry.max_attempts,
        retry.initial_delay_s,
        retry.max_delay_s,
        retry.backoff_strategy,
        retry.retry_delays_s,
        draw,
    )
