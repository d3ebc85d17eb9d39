"""How many requests one client may make."""

from __future__ import annotations

from typing import Final

from ..errors import CommandError

_AT_ONCE: Final = 40.0
_PER_S: Final = 5.0


class Budget:
    """Each connect, publish and play makes events for everybody's hooks, so one client gets 40 of
    them at once and 5 more per second."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        self._at = now
        self._left = _AT_ONCE

    def spend(self, now: float) -> None:
        """Take one; ``now`` is monotonic. Raises CommandError if none is left."""
        self._left = min(_AT_ONCE, self._left + (now - self._at) * _PER_S) - 1
        self._at = now
        if self._left < 0:
            raise CommandError(
                f"over {_AT_ONCE:.0f} connect, publish and play requests at once and {_PER_S:.0f} a second",
                "too_many_requests",
            )
