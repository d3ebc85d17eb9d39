"""The health of one lane's endpoint: pauses, the breaker, and the number of concurrent executions.

A failure of the endpoint is first of all the failure of one event, which is tried again after a while of its own. Only
evidence about the endpoint stops the lane as a whole:

============  =============================================  =======================================================
state         what happens                                   what follows
============  =============================================  =======================================================
closed        a success                                      the counts of failures begin anew
closed        a failure                                      counted; the event waits for its backoff, nobody else does
closed        an answer with Retry-After, a 429              a pause for as long as it says, without it the backoff
closed        ``breaker_failures`` in a row, and for         **open**
              ``SILENCE_S`` no success
closed        ``UNREACHABLE_FAILURES`` in a row that did     **open**
              not reach the endpoint (refused, DNS)
closed        half of the last ``WINDOW`` tries failed       **open**
closed        ``MAX_HELD`` events are held for another try   **open**
closed        401, 403, 407, no token                        **open** at once, no event can pass
open          the pause is over                              one try, the probe
open          the probe fails                                a longer pause
open          the probe succeeds                             **closed**; executions at once: 1, 2, 4, ... as before
open          what was under way when it opened fails        nothing: it says nothing new
any           410                                            the lane is disabled (``lane``)
============  =============================================  =======================================================

The pause of an open breaker goes on where the backoff of the event was whose failure opened it, so that an endpoint
that is down is asked ever less often. Nothing here waits or knows of greenlets: the lane asks, and says what time it
is.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Final

from ...backoff import Backoff
from ...errors import DeliveryError, TransientDeliveryError
from ...settings import RetrySettings
from .. import fault

#: How many events of one lane may be held for another try.
MAX_HELD: Final = 1024

#: A run of failures says something about the endpoint only if nothing has succeeded for so long: among thousands of
#: tries a second a few failures follow each other by chance.
SILENCE_S: Final = 0.25

UNREACHABLE_FAILURES: Final = 2

#: The last tries that the failure rate is taken of. One endpoint in a million that fails one time in five has as many
#: failures among so many tries by chance that the breaker opens.
WINDOW: Final = 64

_TOO_MANY_REQUESTS: Final = "status:429"
#: Codes of errors that never reached the endpoint.
_UNREACHABLE: Final = frozenset({"ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "gaierror", "dns"})


class Health:
    """``concurrency`` is how many executions are configured, ``limit`` how many may be under way now. ``why`` is the
    fault that opened the breaker. Moments are monotonic seconds."""

    __slots__ = (
        "_adaptive",
        "_backoff",
        "_breaker_failures",
        "_failed_lately",
        "_in_a_row",
        "_last_success",
        "_pauses",
        "_ramp",
        "_recent",
        "_unreachable",
        "concurrency",
        "failures",
        "is_open",
        "limit",
        "paused_until",
        "why",
    )

    def __init__(self, settings: RetrySettings, concurrency: int, is_adaptive: bool) -> None:
        self._backoff = _backoff(settings)
        self._breaker_failures = settings.breaker_failures
        self._adaptive = Adaptive(concurrency) if is_adaptive else None
        self._recent: deque[bool] = deque([False] * WINDOW, WINDOW)  # whether each of the last tries failed
        self._failed_lately = 0  # in ``_recent``
        self._in_a_row = 0  # failures since the last success that are evidence about the endpoint
        self._unreachable = 0  # the last of these that did not reach it
        self._last_success = float("-inf")
        self._pauses = 0  # of the open breaker: how far the backoff is
        self._ramp = 0  # executions at once after it has closed, 0 is as many as there may be
        self.failures = 0  # since the last success, for people
        self.is_open = False
        self.paused_until = 0.0
        self.why = ""
        self.concurrency = self.limit = concurrency
        self._set_limit()

    # --- the backoff ----------------------------------------------------------------------------------

    @property
    def retries(self) -> bool:
        """Whether anything is tried more than once."""
        return self._backoff.max_attempts > 1

    def is_last(self, attempts: int) -> bool:
        """Whether an event that was tried so often is not tried again."""
        return attempts >= self._backoff.max_attempts

    def retry_at(self, attempts: int, error: DeliveryError, now: float) -> float:
        """The moment of the next try of an event that has failed so often: after its backoff, or later if the endpoint
        has said so."""
        return now + max(self._backoff.pause_s(attempts), _retry_after_s(error) or 0.0)

    # --- what the lane sees -----------------------------------------------------------------------------

    def resize(self, concurrency: int) -> None:
        """Allow as many executions as that, if the endpoint can take them."""
        self.concurrency = concurrency
        if self._adaptive:
            self._adaptive.max = concurrency
        self._set_limit()

    def succeeded(self, now: float, seconds: float, active: int) -> bool:
        """A try went well after ``seconds``, while so many executions were under way with it; whether the breaker
        closes by that."""
        self._last_success = now
        if self._recent[0]:
            self._failed_lately -= 1
        self._recent.append(False)
        if self._adaptive:
            self._adaptive.succeeded(seconds, active)
        elif not (self.failures or self._ramp or self.is_open):
            return False
        self.failures = self._in_a_row = self._unreachable = 0
        closes = self.is_open
        if closes:
            self._close()
        elif self._ramp:
            self._ramp = self._ramp * 2 if self._ramp * 2 < self.concurrency else 0
        self._set_limit()
        return closes

    def failed(self, verdict: str, error: DeliveryError, attempts: int, now: float) -> bool:
        """A try failed by a fault of the endpoint or of the credentials, the ``attempts``-th of its event; whether the
        breaker opens by that."""
        self.failures += 1
        if self._adaptive:
            self._adaptive.failed()
        wait_s = _retry_after_s(error)
        if self.is_open:
            self._pauses += 1
            self._pause(now, wait_s)
            return False
        if wait_s is not None:  # an endpoint that says when to come again is not dead
            self.paused_until = max(self.paused_until, now + wait_s)
        elif error.code == _TOO_MANY_REQUESTS:
            self.paused_until = max(self.paused_until, now + self._backoff.pause_s(attempts))
        opens = self._is_evidence(verdict, error, wait_s, now)
        if opens:
            self._open(verdict, attempts, now)
        self._set_limit()
        return opens

    def overwhelmed(self, attempts: int, now: float) -> bool:
        """As many events are held for another try as may be; whether the breaker opens by that."""
        if self.is_open:
            return False
        self._open(fault.ENDPOINT, attempts, now)
        self._set_limit()
        return True

    def end_pause(self) -> None:
        """Whatever it was for, it is over."""
        self.paused_until = 0.0

    def lift(self) -> None:
        """Nothing limits the last executions of a lane that ends."""
        self.end_pause()
        self.limit = self.concurrency

    # --- the breaker ----------------------------------------------------------------------------------

    def _is_evidence(self, verdict: str, error: DeliveryError, wait_s: float | None, now: float) -> bool:
        if self._recent[0]:
            self._failed_lately -= 1
        self._recent.append(True)
        self._failed_lately += 1
        if verdict == fault.AUTH:
            return True
        if wait_s is not None:
            return False
        self._in_a_row += 1
        self._unreachable = self._unreachable + 1 if error.code in _UNREACHABLE else 0
        is_silent = now - self._last_success >= SILENCE_S
        return (
            (self._in_a_row >= self._breaker_failures and is_silent)
            or self._unreachable >= min(UNREACHABLE_FAILURES, self._breaker_failures)
            or self._failed_lately * 2 >= max(WINDOW, 2 * self._breaker_failures)
        )

    def _open(self, verdict: str, attempts: int, now: float) -> None:
        self.is_open = True
        self.why = verdict
        self._pauses = max(attempts, 1)
        self._pause(now, None)

    def _pause(self, now: float, wait_s: float | None) -> None:
        until = now + max(self._backoff.pause_s(self._pauses), wait_s or 0.0)
        self.paused_until = max(self.paused_until, until)

    def _close(self) -> None:
        self.is_open = False
        self._ramp = 1
        self._recent.extend([False] * WINDOW)
        self._failed_lately = 0

    def _set_limit(self) -> None:
        limit = self._adaptive.limit if self._adaptive else self.concurrency
        if self.is_open:
            self.limit = 1
        else:
            self.limit = min(self._ramp, limit) if self._ramp else limit


class Adaptive:
    """How many executions at once an endpoint can take, found out by asking for one more: from 1 to ``max``.

    Additive increase, multiplicative decrease, as TCP does it: while answers come as quickly as ever the limit grows by
    one for each limit's worth of answers; when they slow down, or a fault says that it was too much, it shrinks. Only
    answers that were a success show how long one takes.
    """

    _SHRINK = 0.75
    _WEIGHT = 0.1  # of one answer in the averages
    _DEVIATIONS = 2.5
    _JITTER_S = 0.005  # what a scheduler does to an answer does not count

    __slots__ = ("_deviation", "_limit", "_mean", "_since", "max")

    def __init__(self, max: int) -> None:
        self.max = max
        self._limit = 1.0
        self._mean = 0.0
        self._deviation = 0.0
        self._since = 0  # answers since it shrank: those of before are still under way, and are about the old limit

    @property
    def limit(self) -> int:
        return min(int(self._limit), self.max)

    def succeeded(self, seconds: float, active: int) -> None:
        """An answer came after ``seconds``, while so many executions were under way with it."""
        self._since += 1
        usual = self._mean + self._DEVIATIONS * self._deviation + self._JITTER_S
        if self._mean and seconds > usual and self._since > self._limit:
            self._shrink()
        elif active >= self.limit:
            self._limit = min(self._limit + 1 / self._limit, float(self.max))
        error = seconds - self._mean if self._mean else 0.0
        self._mean = self._mean + self._WEIGHT * error if self._mean else seconds
        self._deviation += self._WEIGHT * (abs(error) - self._deviation)

    def failed(self) -> None:
        """The endpoint had too much, or could not be asked."""
        if self._since > self._limit / 2 or self._limit <= 2:
            self._shrink()

    def _shrink(self) -> None:
        self._limit = max(self._limit * self._SHRINK, 1.0)
        self._since = 0


def _retry_after_s(error: DeliveryError) -> float | None:
    return error.retry_after_s if isinstance(error, TransientDeliveryError) else None


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
