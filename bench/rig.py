"""One server and the generator's clients at it, for the length of one trial."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

from .client import Client, Role
from .loop import Loop
from .process import cpu_s, resident_kb
from .publisher import Profile, Publisher
from .servers import Server

SETUP_TIMEOUT_S = 30.0
INFLIGHT = 32
QUIET_S = 0.3
QUIET_TIMEOUT_S = 5.0
DESCRIPTORS = 16384


class TrialFailed(Exception):
    """A trial could not be carried out; nothing was measured."""


@dataclass(slots=True)
class Used:
    """What a stretch of a trial cost: wall time, the server's processor time, the generator's."""

    wall_s: float
    server_cpu_s: float
    generator_cpu_s: float

    @property
    def server_cores(self) -> float:
        return self.server_cpu_s / self.wall_s

    @property
    def generator_cores(self) -> float:
        return self.generator_cpu_s / self.wall_s


class Rig:
    """Opens clients, waits for them, tells what things cost. Use it with ``with``."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = Loop()
        self.profile = Profile()
        self._clients: set[Client] = set()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *exception: object) -> None:
        for client in self._clients:
            client.close()
        self.loop.close()

    def client(self, role: Role, stream: str = "bench") -> Client:
        """A session that is not opened yet and ends with the rig."""
        client = Client(self.loop, self.server.port, role, stream)
        self._clients.add(client)
        return client

    def drop(self, client: Client) -> None:
        """Close a session for good."""
        client.close()
        self._clients.discard(client)

    def wait(self, until: Callable[[], bool], what: str, timeout_s: float = SETUP_TIMEOUT_S) -> None:
        """Run until the condition holds; raises TrialFailed after ``timeout_s``."""
        if not self.loop.run(until, timeout_s):
            reasons = {client.failure for client in self._clients if client.failure} or {"no answer"}
            raise TrialFailed(f"{what}: {', '.join(sorted(reasons))}\n{self.server.log_tail()}".rstrip())

    def publisher(self, stream: str = "bench") -> Publisher:
        """A session that publishes and has sent its sequence headers."""
        client = self.client(Role.PUBLISH, stream)
        client.open()
        self.wait(lambda: client.ready, "publish")
        return Publisher(self.loop, client, self.profile)

    def open_all(self, clients: list[Client], timeout_s: float = SETUP_TIMEOUT_S) -> None:
        """Open sessions, INFLIGHT at a time, and wait until each is ready."""
        waiting = list(reversed(clients))
        outcome = {"ready": 0, "failed": 0}

        def open_next(client: Client | None = None) -> None:
            if waiting:
                waiting.pop().open()

        def ready(client: Client) -> None:
            outcome["ready"] += 1
            open_next()

        def failed(client: Client) -> None:
            outcome["failed"] += 1

        for client in clients:
            client.on_ready, client.on_closed = ready, failed
        for _ in range(INFLIGHT):
            open_next()
        self.wait(lambda: outcome["ready"] == len(clients) or outcome["failed"] > 0, "sessions", timeout_s)
        if outcome["failed"]:
            raise TrialFailed(f"session: {next(client.failure for client in clients if client.failure)}")

    def settle(self, clients: list[Client]) -> None:
        """Wait until nothing has arrived at any of the clients for QUIET_S."""
        seen, since = -1, time.monotonic()
        deadline = since + QUIET_TIMEOUT_S
        while time.monotonic() < deadline:
            self.loop.run_for(QUIET_S / 6)
            received = sum(client.received for client in clients)
            if received != seen:
                seen, since = received, time.monotonic()
            elif time.monotonic() - since >= QUIET_S:
                return
        raise TrialFailed("the server still sends long after its publisher has fallen silent")

    def meter(self) -> Callable[[], Used]:
        """Starts to measure; each call of the result says what was used since."""
        started, server, generator = time.monotonic(), cpu_s(self.server.pid), time.process_time()

        def used() -> Used:
            return Used(time.monotonic() - started, cpu_s(self.server.pid) - server, time.process_time() - generator)

        return used

    def resident_kb(self) -> int:
        """Resident memory of the server."""
        return resident_kb(self.server.pid)


def raise_descriptor_limit() -> None:
    """Allow this process, and the servers it starts, the descriptors that thousands of sessions need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
