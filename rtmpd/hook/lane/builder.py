"""From a hook and its settings to the lane that delivers for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from ...clock import Clock
from ...settings import GUARANTEE_NONE, HookSettings, RetrySettings
from ..record.witness import NoWitness, Witness
from ..sink.base import Hook
from ..store.log import EventLog
from ..store.schema import DeadRow
from .batch_lane import BatchHook, BatchLane
from .deadletter import DeadLetter, DeadLetters
from .governor import Governor
from .lane import Lane

_WINDOW = 64
_LETTER_ATTEMPTS = 3

#: Takes the id of a hook, the type and the data of an event about it. Never switches, never raises.
TellAbout = Callable[[str, str, dict[str, object]], None]


class LaneBuilder:
    """Builds lanes that tell what happens to them by ``tell``. ``build`` makes the hook for a dead-letter URL."""

    def __init__(
        self, clock: Clock, build: Callable[[HookSettings, Clock], Hook], tell: TellAbout, witness: Witness
    ) -> None:
        self._clock = clock
        self._build = build
        self._tell = tell
        self._witness = witness
        self._governor = Governor()

    def lane(
        self, hook: Hook, settings: HookSettings, concurrency: int, configured: bool, log: EventLog | None
    ) -> Lane:
        """A lane that is not started yet; what it may count on takes the ``log``. Never switches."""

        def tell(type: str, data: dict[str, object]) -> None:
            self._tell(hook.id, type, data)

        feed = None
        if settings.delivery.guarantee_level != GUARANTEE_NONE:
            assert log is not None
            feed = log.feed(hook.id, max(_WINDOW, 2 * concurrency, 4 * settings.delivery.batch_events))
        url = settings.delivery.dead_letter_url
        follower = self._letters_lane(settings, url) if url else None
        letters = DeadLetters(
            hook.id, self._clock, follower.offer if follower else None, _store(log) if log and feed else None
        )
        rest = (self._clock, configured, tell, letters, self._witness, self._governor, follower, feed)
        if settings.delivery.batch_events > 1:
            return BatchLane(cast(BatchHook, hook), settings, concurrency, *rest)
        return Lane(hook, settings, concurrency, *rest)

    def _letters_lane(self, settings: HookSettings, url: str) -> Lane:
        """Takes the dead letters of a hook to their URL. It has nothing that proves who the hook is, and what
        becomes of it is only logged: were it told as events, a dead endpoint would feed itself."""
        own = HookSettings(
            f"{settings.id}.dead-letters",
            "webhook",
            url,
            timeout_s=settings.timeout_s,
            concurrency=1,
            retry=RetrySettings(max_attempts=_LETTER_ATTEMPTS),
            http=replace(settings.http, headers=(), client_cert="", client_key=""),
        )
        letters = DeadLetters(own.id, self._clock)
        hook = self._build(own, self._clock)
        return Lane(hook, own, 1, self._clock, False, lambda type, data: None, letters, NoWitness(), self._governor)


def _store(log: EventLog) -> Callable[[DeadLetter], None]:
    def store(letter: DeadLetter) -> None:
        event = letter.event
        log.bury(
            DeadRow(
                None,
                letter.hook_id,
                letter.at,
                letter.reason,
                letter.attempts,
                letter.last_error,
                event.id,
                event.type,
                event.timestamp,
                event.conn_id,
                event.stream_key,
                event.seq,
                event.severity,
                event.json(),
            )
        )

    return store

