"""One part of a reload: the new object that was created beside the old one, and the step that swaps them.

A room that can change while it runs has a ``prepare`` which builds everything that can fail and returns one of
these; nothing is in effect yet. Either ``commit`` follows, which is plain assignments and never fails or switches
greenlets, and after it ``retire``, which lets go of what was replaced; or ``abort``, which lets go of what was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


def _nothing() -> None:
    """There is nothing to let go of."""


@dataclass(frozen=True, slots=True)
class Change:
    """Prepared, and not in effect. ``retire`` may switch greenlets, the other two never do."""

    commit: Callable[[], None] = _nothing
    retire: Callable[[], None] = _nothing
    abort: Callable[[], None] = _nothing

    @classmethod
    def join(cls, *changes: Change) -> Change:
        """Return one that does what all of these do, in their order."""
        return cls(*(_each([getattr(change, step) for change in changes]) for step in ("commit", "retire", "abort")))


def _each(steps: Sequence[Callable[[], None]]) -> Callable[[], None]:
    def run() -> None:
        for step in steps:
            step()

    return run
