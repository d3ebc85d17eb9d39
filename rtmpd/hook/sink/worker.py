"""A program that stays: it gets one line per event and answers each, in any order.

It is started when there is something for it, has its own session, and sees PATH, HOME, LANG, TZ and
``RTMPD_WORKER_PROTOCOL`` in its environment, nothing else. What it writes to stderr is logged. When rtmpd lets go
of it, or is gone, its standard input ends, and so should it.

A worker that ends, writes a line that is not an answer or is too slow is killed with its group and started anew: at
once if it has answered anything since it was started, else after a growing wait. What it had not answered is worth
another try. The next events are given to it one at a time, so that one which kills it takes no others with it; those
that were not written to it at all fail with the code ``not_sent`` and lose no attempt.

::

    {"id":"evt_01...","seq":7,"severity":"info","attempt":1,"event":{"type":"publish_start",...}}
    {"id":"evt_01...","seq":8,"severity":"info","attempt":2,"redelivered":"timeout","event":{...}}

==================  ==========================================================
answer              meaning
==================  ==========================================================
``ack ID``          delivered
``retry ID [S]``    worth another try, not before S seconds
``dead ID [TEXT]``  failed for good
==================  ==========================================================

``id`` is the first key, and no text in a line can hold a line break, so that tools which know nothing of JSON can cut
it out. ``event`` is the body of schema 1, the bytes that a webhook gets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import gevent
from gevent import Greenlet
from gevent.lock import Semaphore

from ...backoff import Backoff
from ...clock import Clock
from ...errors import DeliveryError, NotSentError, PermanentDeliveryError, TransientDeliveryError
from ...event.event import Event
from ...log import logger
from ..child import base_env
from ..redelivery import Redelivery
from ..talk import Talk
from .script import command_of, start_error

PROTOCOL = "1"
NOT_SENT = "not_sent"
GRACE_S = 2.0

_LONGEST_WAIT_S = 86400.0
_REASON_CHARS = 500
_SHOWN_BYTES = 80
_ANSWERABLE = re.compile(r"[!#-\[\]-~]{1,256}")  # one word, and the same in JSON
_RESTART = Backoff(initial_s=0.25, max_s=30.0)

_ending: set[Greenlet[..., None]] = set()


class WorkerHook:
    """Keeps ``path`` running (as ``command_of`` says), and gives it one batch of events at a time."""

    type = "worker"
    answers_each = True

    def __init__(self, id: str, path: str, clock: Clock) -> None:
        self.id = id
        self._path = path
        self._clock = clock
        self._env = {**base_env(), "RTMPD_WORKER_PROTOCOL": PROTOCOL}
        self._log = logger(f"hook.{id}")
        self._turn = Semaphore(1)
        self._talk: Talk | None = None
        self._awaited: set[bytes] = set()
        self._outcomes: dict[bytes, DeliveryError | None] = {}
        self._has_answered = False  # since it was started
        self._failures = 0  # starts in a row that came to nothing
        self._not_before = 0.0
        self._careful = False

    def execute(self, event: Event, deadline: float) -> None:
        """Give the event to the worker and wait for its answer. Raises Transient- and PermanentDeliveryError. May
        switch greenlets."""
        if (outcome := self.execute_batch([event], deadline)[0]) is not None:
            raise outcome

    def execute_batch(self, events: Sequence[Event], deadline: float) -> list[DeliveryError | None]:
        """What became of each event: None if it is delivered. All that have no answer at the deadline (monotonic
        seconds) are timed out, and the worker with them. May switch greenlets."""
        if not self._turn.acquire(timeout=max(deadline - self._clock.monotonic(), 0)):
            return [NotSentError("the worker is busy", NOT_SENT) for _ in events]
        try:
            return self._deliver(events, deadline)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close the worker's standard input, and see in the background that it ends. Never waits."""
        talk, self._talk = self._talk, None
        if talk is not None:
            ender = gevent.spawn(talk.end, GRACE_S)
            ender.name = f"worker-end-{self.id}"
            _ending.add(ender)
            ender.link(_ending.discard)

    # --- one batch ----------------------------------------------------------------------------------

    def _deliver(self, events: Sequence[Event], deadline: float) -> list[DeliveryError | None]:
        lines = {event.id.encode(): line(event) for event in events if has_answerable_id(event)}
        careful, self._careful = self._careful, False
        outcomes: dict[bytes, DeliveryError | None] = {}
        for part in [{id: text} for id, text in lines.items()] if careful else [lines]:
            outcomes |= self._exchange(part, deadline)
        nameless = PermanentDeliveryError("the event has an id that no answer can name", "id")
        return [outcomes.get(event.id.encode(), nameless) for event in events]

    def _exchange(self, lines: Mapping[bytes, bytes], deadline: float) -> dict[bytes, DeliveryError | None]:
        if not lines:
            return {}
        try:
            talk = self._running(deadline)
        except DeliveryError as error:
            return dict.fromkeys(lines, error)
        self._awaited = set(lines)
        outcomes = self._outcomes = {}
        left_s = deadline - self._clock.monotonic()
        try:
            in_time = talk.exchange(b"".join(lines.values()), self._awaited.__len__, left_s)
        except BaseException:  # our greenlet is to end, and who was asked would answer the next one
            talk.kill()
            raise
        if self._awaited:
            self._careful = True
            outcomes |= dict.fromkeys(self._awaited, self._lost(talk, in_time))
            self._awaited = set()
        return outcomes

    def _take(self, text: bytes) -> str:
        """An answer; what is wrong with it."""
        try:
            id, outcome = answer(text)
            self._awaited.remove(id)
        except BadAnswer as error:
            return str(error)
        except KeyError:
            return f"answered what it was not asked: {shown(text)}"
        self._outcomes[id] = outcome
        self._has_answered = True
        return ""

    # --- the process --------------------------------------------------------------------------------

    def _running(self, deadline: float) -> Talk:
        """The worker, started if need be. Raises DeliveryError. May switch greenlets."""
        if self._talk is not None and self._talk.problem:
            self._lost(self._talk, True)
        self._await_restart(deadline)
        if self._talk is None:
            self._has_answered = False
            try:
                self._talk = Talk(command_of(self._path), self._env, self._take, self._say)
            except OSError as error:
                raise start_error(error, self._path) from error
            self._log.info("Worker started", hook_id=self.id, pid=self._talk.child.pid)
        return self._talk

    def _await_restart(self, deadline: float) -> None:
        """Wait for the moment at which the worker may be started again, or for no worker at all after the deadline."""
        now = self._clock.monotonic()
        wait_s = self._not_before - now if self._talk is None else 0.0
        if wait_s >= deadline - now:
            raise NotSentError("there was no time left for the worker", NOT_SENT, max(wait_s, 0.0))
        if wait_s > 0:
            gevent.sleep(wait_s)

    def _lost(self, talk: Talk, in_time: bool) -> TransientDeliveryError:
        """Get rid of the worker; what to say of the events that it did not answer. May switch greenlets."""
        try:
            reason = talk.describe() if in_time else "did not answer in time"
        finally:
            talk.kill()
            self._talk = None
        self._failures = 0 if self._has_answered else self._failures + 1
        wait_s = _RESTART.pause_s(self._failures) if self._failures else 0.0
        self._not_before = self._clock.monotonic() + wait_s
        self._log.warning("Worker ended", hook_id=self.id, pid=talk.child.pid, reason=reason, restart_s=wait_s)
        return TransientDeliveryError(f"the worker {reason}", "worker" if in_time else "timeout")

    def _say(self, text: str) -> None:
        self._log.info("Worker says", hook_id=self.id, line=text)


def join_ending(timeout_s: float) -> None:
    """Wait for the workers of closed hooks, which have ``GRACE_S`` to end by themselves. May switch greenlets."""
    gevent.joinall(list(_ending), timeout=timeout_s)


# --- the protocol -------------------------------------------------------------------------------


class Answer(NamedTuple):
    """One answer. ``outcome`` is None if the event is delivered."""

    id: bytes
    outcome: DeliveryError | None


class BadAnswer(ValueError):
    """A line that is not an answer."""


def answer(line: bytes) -> Answer:
    """What a line of the worker says. Raises BadAnswer."""
    verb, _, rest = line.partition(b" ")
    if verb == b"ack":
        return Answer(rest.strip(), None)
    id, _, words = rest.strip().partition(b" ")
    if verb == b"retry":
        return Answer(id, TransientDeliveryError("the worker asks for another try", "retry", _wait_s(words, line)))
    if verb == b"dead":
        reason = words.decode("utf-8", "replace").strip()[:_REASON_CHARS]
        return Answer(id, PermanentDeliveryError(reason or "the worker gave it up", "dead"))
    raise BadAnswer(f"wrote a line that is not an answer: {shown(line)}")


def _wait_s(words: bytes, line: bytes) -> float | None:
    if not words.strip():
        return None
    try:
        wait_s = float(words)
    except ValueError:
        wait_s = -1.0
    if not math.isfinite(wait_s) or wait_s < 0:
        raise BadAnswer(f"wrote a wait that is not a number of seconds: {shown(line)}")
    return min(wait_s, _LONGEST_WAIT_S)


def shown(line: bytes) -> str:
    """The beginning of a line, for an error."""
    return repr(line[:_SHOWN_BYTES].decode("utf-8", "replace"))


def has_answerable_id(event: Event) -> bool:
    """Return whether an answer can name the event. The ids that rtmpd makes can all be named."""
    return _ANSWERABLE.fullmatch(event.id) is not None


def line(event: Event) -> bytes:
    """The line for an event, whose id must be answerable."""
    again = ""
    attempt = 1
    if isinstance(event, Redelivery):
        attempt = event.attempt
        again = f'"redelivered":"{event.redelivered}",' if event.redelivered else ""
    facts = f'{{"id":"{event.id}","seq":{event.seq},"severity":"{event.severity}","attempt":{attempt},{again}"event":'
    return b"%b%b}\n" % (facts.encode(), event.json())
