"""One part of a reload: the new object that was created beside the old one, and the step that swaps them.

A room that can change while it runs has a ``prepare`` which builds everything that can fail and returns one of
these; nothing is in effect yet. Either ``commit`` follows, which is plain assignments and never fails or switches
greenlets, and after it ``retire``, which lets go of what was replaced; or ``abort``, which lets go of what was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


def _nothing() -> None:
    """Do nothing: there is nothing to release."""


@dataclass(frozen=True, slots=True)
class Change:
    """A prepared change that is not in effect yet. ``retire`` may switch; the other two never switch."""

    commit: Callable[[], None] = _nothing
    retire: Callable[[], None] = _nothing
    abort: Callable[[], None] = _nothing

    @classmethod
    def join(cls, *changes: Change) -> Change:
        """Combine several changes into one, in this order."""
        return cls(*(_each([getattr(change, step) for change in changes]) for step in ("commit", "retire", "abort")))


def _each(steps: Sequence[Callable[[], None]]) -> Callable[[], None]:
    def run() -> None:
        for step in steps:
            step()

    return run
