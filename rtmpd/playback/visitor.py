"""Who watches HLS: a session over many requests and connections.

The first request is admitted like any play. Every address in the playlists that it gets has ``s=``, a signed name of
its session, so that the token of the first request is not needed again and cannot be passed on with one address. A
viewer that asks for nothing for three target durations has left, as far as anybody can know; if it comes back, with the
name it has, it is a new session of the same admission. One that was kicked, or whose time is over, is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from itsdangerous import BadSignature, URLSafeSerializer

from ..clock import Clock
from ..errors import LimitReached
from .feed import Session, Ticket

PROTOCOL: Final = "hls"
SILENT: Final = "timeout"
MAX_VISITORS: Final = 20_000
REMEMBERED_S: Final = 600.0  #: how long a viewer that paused may come back
SILENCE_TARGETS: Final = 3
_MIN_SILENCE_S: Final = 6.0


class Visitor:
    """One viewer. ``target_s`` returns the target duration of its playlist. No method switches greenlets."""

    frames_dropped = 0
    queue_ms = 0

    def __init__(self, id: str, ticket: Ticket, key: str, clock: Clock, target_s: Callable[[], int]) -> None:
        self.id = id
        self.key = key
        self.bytes_sent = 0
        self.refused = ""
        self._ticket = ticket
        self._clock = clock
        self._target_s = target_s
        self._session: Session | None = None
        self._counted_from = 0
        self.seen_at = clock.monotonic()

    @property
    def is_watching(self) -> bool:
        """Whether it has a session now."""
        return self._session is not None

    def seen(self) -> None:
        """It asks for something: begin its session if it has none. Raises Rejected."""
        self.seen_at = self._clock.monotonic()
        if self._session is None:
            self.bytes_sent = 0
            self._session = self._ticket.begin(PROTOCOL, self)

    def stop(self, reason: str) -> None:
        """End its session; it may come back."""
        session, self._session = self._session, None
        if session is not None:
            session.stop(reason)

    def end(self, reason: str) -> None:
        """End it for good."""
        self.refused = reason
        self.stop(reason)

    def watch(self, now: float) -> None:
        """Note that it has left. Called about once a second while it has a session."""
        if now - self.seen_at > max(SILENCE_TARGETS * self._target_s(), _MIN_SILENCE_S):
            self.stop(SILENT)


class Visitors:
    """All of them, by the names that they were given."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._signer = URLSafeSerializer(secrets.token_bytes(32), "hls")
        self._visitors: dict[str, Visitor] = {}

    def __len__(self) -> int:
        return len(self._visitors)

    def new(self, ticket: Ticket, key: str, target_s: Callable[[], int]) -> Visitor:
        """A viewer that was admitted. Raises LimitReached."""
        if len(self._visitors) >= MAX_VISITORS:
            raise LimitReached(f"there are {MAX_VISITORS} viewers of HLS already", "NetStream.Play.Failed")
        id = secrets.token_urlsafe(9)
        visitor = self._visitors[id] = Visitor(id, ticket, key, self._clock, target_s)
        return visitor

    def name_of(self, visitor: Visitor) -> str:
        """What its addresses say of it."""
        name = self._signer.dumps([visitor.id, visitor.key])
        return name if isinstance(name, str) else name.decode()

    def find(self, name: str, key: str) -> Visitor | None:
        """The viewer that has this name; None if it is not one of this stream, or is forgotten or refused."""
        try:
            id, signed_key = self._signer.loads(name)
        except (BadSignature, ValueError, TypeError):
            return None
        visitor = self._visitors.get(id)
        return visitor if visitor is not None and signed_key == key and not visitor.refused else None

    def of(self, key: str) -> list[Visitor]:
        """Those of a stream."""
        return [visitor for visitor in self._visitors.values() if visitor.key == key]

    def all(self) -> list[Visitor]:
        """All of them."""
        return list(self._visitors.values())

    def forget(self, visitor: Visitor) -> None:
        """Do not know this one any more."""
        self._visitors.pop(visitor.id, None)

    def look(self, now: float) -> None:
        """Forget those that will not come back. Called about once a second."""
        for visitor in self.all():
            if not visitor.is_watching and (visitor.refused or now - visitor.seen_at > REMEMBERED_S):
                del self._visitors[visitor.id]
