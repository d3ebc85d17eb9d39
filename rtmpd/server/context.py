"""The state that all connections of one server share."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..clock import Clock
from ..errors import LimitReached
from ..event.event import Emit
from ..identity import Applications
from ..protocol.amf0 import AmfLimits
from ..protocol.chunk import ChunkLimits
from ..settings import AppsSettings, LimitSettings, QualitySettings, ServerSettings
from ..stream.registry import Registry
from .access.access import Access
from .access.quota import Quota
from .pool import GreenletPool
from .traffic import Traffic

if TYPE_CHECKING:
    from .connection import Connection
    from .pull import Pull
    from .viewing import Viewing

MAX_TEXTS = 1024


@dataclass(slots=True)
class Context:
    """Settings, the streams, the way out for events, and the connections there are.

    ``access`` is replaced by assigning another one; verdicts that are being waited for come from the old one.
    ``watch_period_s`` is how often the watch looks at every connection: the resolution of deadlines.
    """

    server: ServerSettings
    limits: LimitSettings
    apps: AppsSettings
    registry: Registry
    emit: Emit
    clock: Clock
    quality: QualitySettings = field(default_factory=QualitySettings)
    traffic: Traffic = field(default_factory=Traffic)
    access: Access = field(kw_only=True)
    started_at: float = 0.0
    connections: dict[str, Connection] = field(default_factory=dict)
    viewers: dict[str, Viewing] = field(default_factory=dict)  # by conn_id, as the connections are
    pulls: dict[str, Pull] = field(default_factory=dict)
    quota: Quota = field(default_factory=Quota)
    pool: GreenletPool = field(default_factory=GreenletPool)
    draining: bool = False
    watch_period_s: float = 1.0
    chunk_limits: ChunkLimits = field(default_factory=ChunkLimits)
    amf_limits: AmfLimits = field(default_factory=AmfLimits)
    applications: Applications = field(init=False)
    _next_id: int = 1
    _next_session: int = 0
    _boot: str = field(default_factory=lambda: secrets.token_hex(4))
    _per_address: dict[str, int] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started_at = self.clock.monotonic()
        self.applications = Applications(self.apps)
        self.limit(self.limits)

    def configure(self, apps: AppsSettings) -> None:
        """Apply these settings of the applications. A running stream then belongs to the application that its key has
        in the new settings."""
        self.apps = apps
        self.applications = Applications(apps)
        self.registry.configure(apps, self.applications.identify_again)
        for client in self.connections.values():
            client.activity.reconfigure()
        for viewer in self.viewers.values():
            viewer.reconfigure()

    def limit(self, limits: LimitSettings) -> None:
        """Apply these limits; the bounds on what one peer may send hold for new connections only."""
        self.limits = limits
        self.chunk_limits = ChunkLimits(
            limits.message_bytes, limits.reassembly_bytes, limits.chunk_streams, limits.small_chunks_per_message
        )
        self.amf_limits = AmfLimits(limits.amf_depth, limits.amf_items, limits.amf_bytes)

    def next_conn_id(self) -> str:
        """Return ``c000001`` and so on; no id is used twice in a process."""
        conn_id = f"c{self._next_id:06d}"
        self._next_id += 1
        return conn_id

    @property
    def connections_made(self) -> int:
        """The number of connections so far, including those that were refused."""
        return self._next_id - 1

    def next_session_id(self) -> str:
        """Return sixteen hex digits for one publish or play, unique over processes."""
        self._next_session += 1
        return f"{self._boot}{self._next_session:08x}"

    def shared(self, text: str) -> str:
        """Return one shared string for equal texts: thousands of players name the same application."""
        if len(self._texts) >= MAX_TEXTS:
            self._texts.clear()
        return self._texts.setdefault(text, text)

    def uptime_ms(self) -> int:
        """Return the milliseconds since the server started, for handshakes and pings."""
        return int((self.clock.monotonic() - self.started_at) * 1000)

    def admit(self, connection: Connection) -> None:
        """Count a new connection. Raises LimitReached if it is one too many."""
        limits = self.limits
        address = connection.address
        held = self._per_address.get(address, 0)
        if limits.connections and len(self.connections) >= limits.connections:
            raise LimitReached(f"there are {limits.connections} connections already")
        if limits.connections_per_address and held >= limits.connections_per_address:
            raise LimitReached(f"{address} has {held} connections already")
        self.connections[connection.conn_id] = connection
        self._per_address[address] = held + 1

    def forget(self, connection: Connection) -> None:
        """Release what a connection that was admitted held; it is closed."""
        self.traffic.note(connection)
        if self.connections.pop(connection.conn_id, None) is not None:
            held = self._per_address[connection.address] - 1
            if held:
                self._per_address[connection.address] = held
            else:
                del self._per_address[connection.address]

    def connections_of(self, app: str) -> int:
        """Return how many connections use an application: with their streams, or as connect named it until then. A
        viewer over HTTP counts as one."""
        connections = sum(1 for one in self.connections.values() if one.app == app or app in one.activity.apps)
        return connections + sum(1 for one in self.viewers.values() if one.app == app)
