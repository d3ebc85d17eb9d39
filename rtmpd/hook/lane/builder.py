"""Makes the lane of a hook from its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...clock import Clock
from ...settings import GUARANTEE_NONE, HookSettings, RetrySettings
from ..record.records import NoObserver, Observer
from ..sink.base import Hook
from ..store.log import EventLog
from ..store.schema import DeadRow
from .deadletter import DeadLetter, DeadLetters, Numbers
from .lane import Lane, LaneParts
from .startlimit import StartLimit

_WINDOW = 64
_LETTER_ATTEMPTS = 3

#: Takes the id of a hook, the type and the data of an event about it. Never raises.
EmitOfHook = Callable[[str, str, dict[str, object]], None]


class LaneBuilder:
    """Builds lanes whose own events go to ``emit`` and whose tries ``observer`` sees. ``build`` makes the hook for a
    dead-letter URL; ``dead_numbers`` are those of all their dead letters."""

    def __init__(
        self, clock: Clock, build: Callable[[HookSettings, Clock], Hook], emit: EmitOfHook, observer: Observer
    ) -> None:
        self.dead_numbers = Numbers()
        self._clock = clock
        self._build = build
        self._emit = emit
        self._observer = observer
        self._start_limit = StartLimit()

    def lane(
        self, hook: Hook, settings: HookSettings, concurrency: int, configured: bool, log: EventLog | None
    ) -> Lane:
        """A lane that is not started yet; a hook with a guarantee takes its events from the ``log``."""

        def emit(type: str, data: dict[str, object]) -> None:
            self._emit(hook.id, type, data)

        feed = None
        if settings.delivery.guarantee_level != GUARANTEE_NONE:
            assert log is not None
            feed = log.feed(hook.id, max(_WINDOW, 2 * concurrency, 4 * settings.delivery.batch_events))
        url = settings.delivery.dead_letter_url
        follower = self._dead_letter_lane(settings, url) if url else None
        forward = follower.offer if follower else None
        dead_letters = DeadLetters(
            hook.id, self._clock, self.dead_numbers, forward, _store(log) if log and feed else None
        )
        return Lane(
            LaneParts(
                hook=hook,
                settings=settings,
                concurrency=concurrency,
                configured=configured,
                clock=self._clock,
                emit=emit,
                dead_letters=dead_letters,
                observer=self._observer,
                start_limit=self._start_limit,
                follower=follower,
                feed=feed,
            )
        )

    def _dead_letter_lane(self, settings: HookSettings, url: str) -> Lane:
        """Takes the dead letters of a hook to their URL. It has nothing that proves who the hook is, and what becomes
        of it is only logged: were it emitted as events, a dead endpoint would feed itself."""
        own = HookSettings(
            f"{settings.id}.dead-letters",
            "webhook",
            url,
            timeout_s=settings.timeout_s,
            concurrency=1,
            retry=RetrySettings(max_attempts=_LETTER_ATTEMPTS),
            http=replace(settings.http, headers=(), client_cert="", client_key=""),
        )
        return Lane(
            LaneParts(
                hook=self._build(own, self._clock),
                settings=own,
                concurrency=1,
                configured=False,
                clock=self._clock,
                emit=lambda type, data: None,
                dead_letters=DeadLetters(own.id, self._clock, Numbers()),
                observer=NoObserver(),
                start_limit=self._start_limit,
            )
        )


def _store(log: EventLog) -> Callable[[DeadLetter], None]:
    def store(letter: DeadLetter) -> None:
        event = letter.event
        log.bury(
            DeadRow(
                letter.number,
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
