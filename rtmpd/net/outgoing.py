"""Outgoing connections: resolves a name to its addresses, and connects to one of them.

Each consumer (a hook, the access callbacks, the relays, StatsD ...) has an ``Outgoing`` of its own, so that a name
server that never answers delays only what needs that very name:

- One look-up per name is under way at a time, and all that need the name share it. Look-ups run in threads, at most
  ``max_lookups`` for a consumer; each thread ends with its look-up, and no other look-up waits for it.
- An answer is fresh for ``FRESH_S``. After that it is asked for again, and if the new answer is late or an error, the
  old one serves for ``STALE_S`` (RFC 8767).
- The addresses of a name are raced (RFC 8305): the next one is tried ``STAGGER_S`` after the last, or at once when an
  attempt has failed, IPv6 and IPv4 in turn. The first that connects wins.

The caller sets the deadline for all of it (``gevent.Timeout``); the look-up goes on for the others when it passes.
"""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import gevent
import idna
from gevent import monkey
from gevent.event import Event
from gevent.hub import get_hub

from ..clock import Clock
from .networks import DENIED, NEVER, NOT_ALLOWED, NetworkRules
from .transport import RawSocket

FRESH_S: Final = 10.0
STALE_S: Final = 3600.0
#: How long a new answer is waited for while an old one could serve.
STALE_WAIT_S: Final = 0.5
#: How long a failed look-up keeps a name with an old answer from being looked up again.
FAILED_WAIT_S: Final = 1.0
STAGGER_S: Final = 0.25
MAX_ADDRESSES: Final = 16
MAX_NAMES: Final = 1024

_start_thread: Any = monkey.get_original("_thread", "start_new_thread")
_getaddrinfo: Any = monkey.get_original("socket", "getaddrinfo")

# An attempt that fails so has not left this machine: what another attempt says is worth more.
_NO_ROUTE: Final = frozenset(
    (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
)


class Endpoint(NamedTuple):
    """One address to connect to: ``sockaddr`` is what the socket calls take, with the zone of IPv6."""

    family: int
    sockaddr: tuple[Any, ...]

    @property
    def address(self) -> str:
        """The address without the port."""
        return str(self.sockaddr[0])

    def at(self, port: int) -> Endpoint:
        """The same address with this port."""
        return Endpoint(self.family, (self.sockaddr[0], port, *self.sockaddr[2:]))


_REFUSALS: Final = {
    NEVER: "is never connected to",
    DENIED: "is in deny_networks",
    NOT_ALLOWED: "is not in allow_networks",
}


class AddressRefused(OSError):
    """The network rules forbid the address. ``reason`` is that of ``NetworkRules.refusal``."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"the address {address} {_REFUSALS[reason]}")
        self.strerror = str(self)


LookUp = Callable[[str], list[Endpoint]]


def look_up(name: str) -> list[Endpoint]:
    """Ask the system: hosts file, DNS and what else it is set up for. Blocks its thread, for as long as the system
    likes. Raises OSError."""
    return _endpoints(_getaddrinfo(name.encode("ascii"), None, type=stdlib_socket.SOCK_STREAM))


def ascii_name(host: str) -> str:
    """Return the host as DNS has it: IDNA 2008 for other letters than ASCII. A trailing dot stays: it keeps the system
    from appending its search domains. Raises OSError for what cannot be a name."""
    if host.isascii():
        if host.strip(".") and ".." not in host and "\0" not in host:
            return host
    else:
        try:
            return idna.encode(host, uts46=True).decode("ascii")
        except UnicodeError:
            pass
    raise OSError(f"{host[:80]!r} is not a name that can be resolved")


def literal(host: str) -> list[Endpoint]:
    """Return the address that ``host`` itself is, in any form that the system reads (``127.1``, ``fe80::1%eth0``); no
    endpoint if it is a name."""
    try:
        return _endpoints(
            _getaddrinfo(host, None, type=stdlib_socket.SOCK_STREAM, flags=stdlib_socket.AI_NUMERICHOST)
        )
    except (OSError, UnicodeError):
        return []


def _endpoints(found: Iterable[tuple[Any, ...]]) -> list[Endpoint]:
    return list(dict.fromkeys(Endpoint(int(family), sockaddr) for family, _, _, _, sockaddr in found))


class _Flight:
    """One look-up that is under way, or waits for a thread."""

    __slots__ = ("began", "done", "error", "name", "waiting")

    def __init__(self, name: str, began: float) -> None:
        self.name = name
        self.began = began
        self.done = Event()
        self.error: OSError | None = None
        self.waiting = 0


class _Known:
    """What is known of a name: the addresses of the last answer, when it came, and the look-up that is under way."""

    __slots__ = ("answered_at", "endpoints", "flight", "not_before")

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self.answered_at = float("-inf")
        self.not_before = float("-inf")
        self.flight: _Flight | None = None


class Outgoing:
    """The way out of one consumer. ``look_up`` is what asks the system; ``rules`` hold for each address."""

    def __init__(
        self,
        clock: Clock,
        max_lookups: int,
        rules: NetworkRules | None = None,
        look_up: LookUp | None = None,
    ) -> None:
        self._clock = clock
        self._max_lookups = max_lookups
        self._rules = rules or NetworkRules()
        self._look_up = look_up
        self._names: OrderedDict[str, _Known] = OrderedDict()
        self._running = 0
        self._queue: deque[_Flight] = deque()

    # --- names ----------------------------------------------------------------------------------

    def resolve(self, host: str, port: int) -> list[Endpoint]:
        """Return the addresses of ``host``, at least one, in the order of the system, with ``port``. May switch
        greenlets, and waits as long as the system does. Raises OSError."""
        found = literal(host) or self._resolve(ascii_name(host))
        return [endpoint.at(port) for endpoint in found]

    def leads_to(self, host: str, address: str) -> bool | None:
        """Whether ``address`` is still one of the addresses of ``host`` (in ASCII), by the last answer. None if it was
        one, and the answer is not fresh: then it is asked for again, and not waited for."""
        known = self._names.get(host)
        if known is None:
            return True  # an address, or a name that has been forgotten
        if not any(endpoint.address == address for endpoint in known.endpoints):
            return False
        if self._clock.monotonic() - known.answered_at < FRESH_S:
            return True
        self._begin(host, known)
        return None

    def _resolve(self, name: str) -> list[Endpoint]:
        known = self._known(name)
        age_s = self._clock.monotonic() - known.answered_at
        if age_s < FRESH_S:
            return known.endpoints
        flight = self._begin(name, known)
        if age_s < STALE_S:
            if flight is not None:
                self._wait(flight, max(flight.began + STALE_WAIT_S - self._clock.monotonic(), 0.0))
            return known.endpoints
        assert flight is not None, "only a name with an old answer is not looked up again at once"
        self._wait(flight, None)
        if flight.error is not None:
            raise type(flight.error)(*flight.error.args)  # each greenlet that waits has a traceback of its own
        return known.endpoints

    def _known(self, name: str) -> _Known:
        known = self._names.get(name)
        if known is None:
            known = self._names[name] = _Known()
            if len(self._names) > MAX_NAMES:
                self._names.popitem(last=False)
        self._names.move_to_end(name)
        return known

    def _begin(self, name: str, known: _Known) -> _Flight | None:
        """Return the look-up that is under way, or a new one; None if the last one has just failed."""
        if known.flight is None and self._clock.monotonic() >= known.not_before:
            known.flight = _Flight(name, self._clock.monotonic())
            if self._running < self._max_lookups:
                self._launch(known.flight)
            else:
                self._queue.append(known.flight)
        return known.flight

    def _wait(self, flight: _Flight, timeout_s: float | None) -> None:
        flight.waiting += 1
        try:
            flight.done.wait(timeout_s)
        except gevent.Timeout as late:
            late.add_note("the name was not resolved")
            raise
        finally:
            flight.waiting -= 1

    def _launch(self, flight: _Flight) -> None:
        self._running += 1
        _in_thread(self._look_up or look_up, flight.name, lambda found: self._landed(flight, found))

    def _landed(self, flight: _Flight, found: list[Endpoint] | OSError) -> None:
        """Called from the hub when a look-up has ended."""
        self._running -= 1
        now = self._clock.monotonic()
        known = self._known(flight.name)
        known.flight = None
        if isinstance(found, OSError):
            flight.error = found
            known.not_before = now + FAILED_WAIT_S if now - known.answered_at < STALE_S else now
        else:
            known.endpoints, known.answered_at = found, now
        flight.done.set()
        while self._queue and self._running < self._max_lookups:
            queued = self._queue.popleft()
            if queued.waiting:
                self._launch(queued)
            else:  # no greenlet waits for it any more
                self._known(queued.name).flight = None

    # --- connections ----------------------------------------------------------------------------

    def connect(self, host: str, port: int) -> tuple[Any, Endpoint]:
        """Return a connected, non-blocking socket and whom it is connected to. May switch greenlets. Raises OSError,
        and AddressRefused if the rules forbid any of the addresses: a name that has both a good address and a
        forbidden one is not trusted."""
        endpoints = self.resolve(host, port)
        self.check(endpoints)
        try:
            return race(interleaved(endpoints)[:MAX_ADDRESSES])
        except gevent.Timeout as late:
            late.add_note("no address of it answered")
            raise

    def check(self, endpoints: Iterable[Endpoint]) -> None:
        """Raises AddressRefused for an address that the rules forbid."""
        if self._rules.is_empty:
            return
        for endpoint in endpoints:
            if reason := self._rules.refusal(endpoint.address):
                raise AddressRefused(endpoint.address, reason)


def _in_thread(work: LookUp, name: str, done: Callable[[list[Endpoint] | OSError], None]) -> None:
    """Call ``work(name)`` in a thread that ends with it, and ``done`` with what came of it, from the hub."""
    outcome: list[list[Endpoint] | OSError] = []
    watcher = get_hub().loop.async_()

    def run() -> None:
        try:
            found = work(name)
            outcome.append(found if found else OSError("the name has no address"))
        except OSError as error:
            outcome.append(error)
        except Exception as error:  # noqa: BLE001  the greenlets that wait must get it
            outcome.append(OSError(f"{type(error).__name__}: {error}"))
        watcher.send()

    def finish() -> None:
        watcher.stop()
        watcher.close()
        done(outcome[0])

    watcher.start(finish)
    try:
        _start_thread(run, ())
    except RuntimeError as error:  # the system has no thread left
        outcome.append(OSError(errno.EAGAIN, str(error)))
        watcher.send()


def interleaved(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Return the endpoints with the families in turn, beginning with the family of the first (RFC 8305, 4)."""
    by_family: dict[int, deque[Endpoint]] = {}
    for endpoint in endpoints:
        by_family.setdefault(endpoint.family, deque()).append(endpoint)
    queues = list(by_family.values())
    ordered: list[Endpoint] = []
    while any(queues):
        ordered += [queue.popleft() for queue in queues if queue]
    return ordered


class _Race:
    """Attempts to connect, of which one wins."""

    def __init__(self) -> None:
        self.changed = Event()
        self._attempts: dict[Any, tuple[Endpoint, Any]] = {}  # by socket, with what watches it
        self._ready: list[Any] = []
        self._errors: list[OSError] = []

    @property
    def running(self) -> bool:
        return bool(self._attempts)

    def begin(self, endpoint: Endpoint) -> bool:
        """Try this one too; whether the attempt has not failed at once."""
        try:
            sock = RawSocket(endpoint.family, stdlib_socket.SOCK_STREAM)
        except OSError as error:
            self._errors.append(error)
            return False
        sock.setblocking(False)
        number = sock.connect_ex(endpoint.sockaddr)
        if number not in (0, errno.EINPROGRESS):
            sock.close()
            self._errors.append(OSError(number, os.strerror(number)))
            return False
        watcher = get_hub().loop.io(sock.fileno(), 2)
        self._attempts[sock] = endpoint, watcher
        watcher.start(self._arrived, sock)
        return True

    def _arrived(self, sock: Any) -> None:
        """Note that ``sock`` is connected or has failed. Called from the hub."""
        self._attempts[sock][1].stop()
        self._ready.append(sock)
        self.changed.set()

    def winner(self) -> tuple[Any, Endpoint] | None:
        """The first of those that have connected. Those that have failed are forgotten."""
        while self._ready:
            sock = self._ready.pop(0)
            endpoint, watcher = self._attempts.pop(sock)
            watcher.close()
            number = sock.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_ERROR)
            if not number:
                return sock, endpoint
            sock.close()
            self._errors.append(OSError(number, os.strerror(number)))
        return None

    def error(self) -> OSError:
        """What to say when all have failed."""
        return next((error for error in self._errors if error.errno not in _NO_ROUTE), self._errors[0])

    def close(self) -> None:
        """End the attempts that are left."""
        for sock, (_, watcher) in self._attempts.items():
            watcher.stop()
            watcher.close()
            sock.close()


def race(endpoints: Iterable[Endpoint], stagger_s: float = STAGGER_S) -> tuple[Any, Endpoint]:
    """Return a connected, non-blocking socket and its endpoint: of the one that connects first. May switch greenlets.
    Raises OSError if no endpoint connects."""
    waiting = deque(endpoints)
    attempts = _Race()
    try:
        while waiting or attempts.running:
            if waiting and not attempts.begin(waiting.popleft()):
                continue
            attempts.changed.wait(stagger_s if waiting else None)
            attempts.changed.clear()
            won = attempts.winner()
            if won is not None:
                return won
        raise attempts.error()
    finally:
        attempts.close()


def within(timeout_s: float, work: Callable[[], Any]) -> Any:
    """Return what ``work`` returns. Raises TimeoutError (an OSError) if it takes longer than ``timeout_s``."""
    limit = gevent.Timeout(timeout_s)
    try:
        with limit:
            return work()
    except gevent.Timeout as expired:
        if expired is not limit:
            raise
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {timeout_s:g} s") from None
