"""The interface of every kind of hook."""

from __future__ import annotations

from typing import Protocol

from ...event.event import Event


class Hook(Protocol):
    """One receiver of events. ``type`` is ``shell``, ``webhook``, ``stdio`` or a word of your own."""

    @property
    def id(self) -> str: ...

    @property
    def type(self) -> str: ...

    def execute(self, event: Event, deadline: float) -> None:
        """Deliver one event before ``deadline`` (monotonic seconds), from its lane's greenlet.

        Returns when the event is delivered. Raises TransientDeliveryError where another try could
        succeed, else PermanentDeliveryError. Up to the hook's concurrency of these run at once.
        May switch greenlets; a hook that must block a thread brings its own.
        """
        ...

    def close(self) -> None:
        """Let go of what is held. Called once, after the last ``execute``. Never waits."""
        ...
