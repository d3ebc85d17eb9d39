"""How many publishes and plays each address has in each application."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import LimitReached
from ...settings import PUBLISH

_Key = tuple[str, str, str]


class Quota:
    """Counts by action, application and address. Those that are still being asked about count too."""

    def __init__(self) -> None:
        self._held: dict[_Key, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def take(self, action: str, app: str, address: str) -> None:
        """Count one more session of ``address``."""
        key = action, app, address
        self._held[key] = self._held.get(key, 0) + 1

    def give(self, action: str, app: str, address: str) -> None:
        """Count one session of ``address`` less."""
        key = action, app, address
        held = self._held[key] - 1
        if held:
            self._held[key] = held
        else:
            del self._held[key]

    def check(self, action: str, app: str, address: str, limit: int) -> None:
        """Raise LimitReached unless there may be one more; with ``limit`` 0 there always may."""
        if limit and self._held.get((action, app, address), 0) >= limit:
            word, status = ("publishers", "Publish") if action == PUBLISH else ("players", "Play")
            raise LimitReached(f"{address} has its {limit} {word} in {app}", f"NetStream.{status}.Failed")

    @contextmanager
    def held(self, action: str, app: str, address: str, limit: int) -> Iterator[None]:
        """Hold one more within the block. Raises LimitReached if it would be one too many."""
        self.check(action, app, address, limit)
        self.take(action, app, address)
        try:
            yield
        finally:
            self.give(action, app, address)
