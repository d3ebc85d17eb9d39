"""Who has the outputs, as one of them sees it."""

from __future__ import annotations

from typing import Protocol, TypeVar

Output = TypeVar("Output", contravariant=True)


class Owner(Protocol[Output]):
    """``stream_end`` is why outputs end with their stream."""

    stream_end: str

    def ended(self, output: Output) -> None:
        """It has left its stream, and closes now. Called once; must not switch greenlets."""
