"""What goes through the server: bytes, dropped frames, rates, per application and in all.

Nothing is counted here as it happens. The watch looks at every connection once a second anyway; it notes what each
has moved since, and a connection is noted for the last time when it closes, so totals never run backwards and
cost the media nothing. They are exact to about a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..metrics.registry import OTHER, Histogram
from ..metrics.window import Samples
from ..settings import AppsSettings

if TYPE_CHECKING:
    from .connection import Connection
    from .viewing import Viewing

_RATE_S: Final = 5.0


def known_apps(apps: AppsSettings) -> list[str]:
    """The applications that the settings name, not those that only fit a glob."""
    return [*(name for name, _ in apps.named), *(name for name in apps.served if not set(name) & set("*?["))]


class Flow:
    """Totals since the start: bytes and frames."""

    __slots__ = ("dropped", "received", "sent")

    def __init__(self) -> None:
        self.received = self.sent = self.dropped = 0


class Traffic:
    """``total`` is everything, ``apps`` what ``max_apps`` applications moved, and ``OTHER`` the rest of them: ``known``
    applications come first, then whichever is used. ``queue_depth`` frames wait for players, as of the
    last look.
    """

    def __init__(self, known: Iterable[str] = (), max_apps: int = 20, handshakes: Histogram | None = None) -> None:
        self.total = Flow()
        self.apps = {app: Flow() for app in list(dict.fromkeys(known))[:max_apps]}
        self.connections: Counter[str] = Counter()
        self.recent_handshakes = Samples()
        self.queue_depth = 0
        self.ingest_bps = self.egress_bps = 0.0
        self.max_apps = max_apps
        self._handshakes = handshakes
        self._rated_at = 0.0
        self._rated = 0, 0
        self._waiting = 0
        self._seen: Counter[str] = Counter()

    def handshake(self, seconds: float) -> None:
        """Count a handshake that took ``seconds``."""
        self.recent_handshakes.note(seconds)
        if self._handshakes is not None:
            self._handshakes.observe(seconds)

    def look_at(self, client: Connection) -> None:
        """Note a connection in the course of a round."""
        self.note(client)
        self._waiting += client.activity.waiting_frames
        if app := self.slot(client.app):
            self._seen[app] += 1

    def note(self, client: Connection) -> None:
        """Add what a connection has moved since the last call."""
        self._count(client.app, *client.activity.moved())

    def _count(self, app: str, received: int, sent: int, dropped: int) -> None:
        if app not in self.apps:
            app = self.slot(app)
        for flow in (self.total, self.apps[app]) if app else (self.total,):
            flow.received += received
            flow.sent += sent
            flow.dropped += dropped

    def look_at_viewer(self, viewer: Viewing) -> None:
        """Note a viewer over HTTP in the course of a round."""
        self.note_viewer(viewer)
        if app := self.slot(viewer.app):
            self._seen[app] += 1

    def note_viewer(self, viewer: Viewing) -> None:
        """Add what a viewer has been sent since the last call."""
        self._count(viewer.app, 0, *viewer.moved())

    def note_pull(self, app: str, received: int) -> None:
        """Add what was fetched of a stream since the last call."""
        self._count(app, received, 0, 0)

    def turn(self, now: float) -> None:
        """End a round over all connections; ``now`` is monotonic."""
        self.queue_depth, self._waiting = self._waiting, 0
        self.connections, self._seen = self._seen, Counter()
        elapsed_s = now - self._rated_at
        if elapsed_s >= _RATE_S:
            received, sent = self._rated
            if self._rated_at:
                self.ingest_bps = (self.total.received - received) / elapsed_s
                self.egress_bps = (self.total.sent - sent) / elapsed_s
            self._rated_at, self._rated = now, (self.total.received, self.total.sent)

    def slot(self, app: str) -> str:
        """Return the name under which an application is counted; "" if there are no metrics of applications, or it has
        none."""
        if not app or not self.max_apps:
            return ""
        if app in self.apps:
            return app
        # The names of applications come from the network: a client may make up as many as it likes.
        name = app if len(self.apps) < self.max_apps else OTHER
        self.apps.setdefault(name, Flow())
        return name
