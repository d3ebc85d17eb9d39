"""A lane that delivers many events in one execution.

It gathers until there are ``batch_events``, or until the first of them has waited ``batch_age``. Where one
answer is for all of them, events of one key go together in their order; where each has its own, one of each key at a
time, so that one that is to be tried again has overtaken none. An endpoint that refuses a batch gets
smaller ones, down to the single event that is to blame, which is dead then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import gevent

from ...errors import DeliveryError, PermanentDeliveryError
from ...event.event import Event
from .. import fault
from ..redelivery import ERROR
from ..sink.base import Hook
from . import deadletter
from .lane import BUG_WORDS, Lane, Run
from .pause import Pause
from .schedule import Delivery


class BatchHook(Hook, Protocol):
    """A hook that takes many events at once. ``answers_each`` is whether each has an outcome of its own."""

    @property
    def answers_each(self) -> bool: ...

    def execute_batch(self, events: Sequence[Event], deadline: float) -> Sequence[DeliveryError | None]:
        """Deliver the events before ``deadline`` (monotonic seconds); what became of each, in their order. Raises
        DeliveryError if the same became of all. May switch greenlets."""
        ...


class BatchLane(Lane):
    """A lane for a hook with ``delivery.batch_events`` over 1 (its settings say so already when it is built)."""

    hook: BatchHook

    def _set_up(self) -> None:
        delivery = self.settings.delivery
        self._size = delivery.batch_events
        self._gathering = Pause(f"hook-batch-{self.hook.id}", self._clock, self._gathered)
        self._is_ripe = False
        self._answered_each = self.hook.answers_each

    def _gathered(self) -> None:
        self._is_ripe = True
        super()._wake()

    def _wake(self) -> None:
        age_s = self.settings.delivery.batch_age_s
        if self._is_ripe or not age_s or self._is_full or self.outcomes.last_call:
            super()._wake()
        elif len(self._schedule) and not self._gathering.is_on:
            self._gathering.last(age_s)

    @property
    def _is_full(self) -> bool:
        return len(self._schedule) >= self._size

    def _take(self) -> list[Run]:
        delivery = self.settings.delivery
        if not self._may_deliver:
            return []
        if delivery.max_age_s:
            self._bury_expired()
        if not (self._is_ripe or self._is_full or self.outcomes.last_call or not delivery.batch_age_s):
            self._wake()  # what was released by the last batch may be too few for another one: wait for more
            return []
        runs: list[Run] = []
        count, room = 0, delivery.batch_bytes or float("inf")
        while count < self._size and room > 0 and (head := self._schedule.take()):
            run = [head]
            room -= len(head.event.json())
            while not self._answered_each and room > 0 and count + len(run) < self._size:
                if not (follower := self._schedule.follow(head)):
                    break
                run.append(follower)
                room -= len(follower.event.json())
            count += len(run)
            runs.append(run)
        if runs:
            self._is_ripe = False
            self._gathering.end()
            self._begin(runs[0][0])
        return runs

    def _deliver(self, runs: list[Run]) -> None:
        deliveries = sorted((each for run in runs for each in run), key=lambda delivery: delivery.number)
        started = self._clock.monotonic()
        try:
            answers = self._execute(deliveries, started)
        finally:
            self.active -= 1
        is_one_answer = len(deliveries) > 1 and all(answer is answers[0] for answer in answers)
        if is_one_answer and self._is_refusal(answers[0]):
            self._size = max(len(deliveries) // 2, 1)
            for run in runs:
                self._come_back(run)
            return
        self._size = min(self._size * 2, self.settings.delivery.batch_events)
        outcomes = dict(zip(deliveries, answers, strict=True))
        payer = next((each for each in deliveries if outcomes[each]), deliveries[0])  # the lane pays once for all
        for run in runs:
            held: Run = []
            for each in run:
                error = outcomes[each]
                if held and error is None:  # it has overtaken the one before it, so it goes again behind it
                    each.doubt = ERROR
                    held.append(each)
                elif self.outcomes.of(each, error, started, self.active + 1, pays=each is payer):
                    held.append(each)
            if held:
                self._come_back(held)
            else:
                self._schedule.done(run[0])

    def _execute(self, deliveries: list[Delivery], started: float) -> Sequence[DeliveryError | None]:
        """One answer for each."""
        try:
            answers = self.hook.execute_batch([self._given(each) for each in deliveries], started + self._try_s)
        except DeliveryError as error:
            return [error] * len(deliveries)
        except (Exception, gevent.Timeout):  # noqa: BLE001  a hook is foreign code; the lane outlives its bugs
            self.outcomes.bug(deliveries[0], started, BUG_WORDS)
            return [PermanentDeliveryError(BUG_WORDS, deadletter.BUG)] * len(deliveries)
        return answers

    def _is_refusal(self, error: DeliveryError | None) -> bool:
        """Whether the endpoint took offence at what is in the batch."""
        if error is None:
            return False
        return error.code == deadletter.BUG or (
            fault.fault_of(error, self.settings.retry.retryable_errors) == fault.EVENT
        )
