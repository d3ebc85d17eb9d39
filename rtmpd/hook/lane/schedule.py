"""The schedule of one lane: events that may be delivered now, and events that have to wait.

Each delivery is in one place:

=============  ====================================================================  ==================================
place          holds                                                                 leaves it by
=============  ====================================================================  ==================================
``_runnable``  a heap of numbers: nobody has tried them, and nothing is in the way   ``take``, ``shed``
``_behind``    nobody has tried them, another one of their key is in the way         ``take_next``, ``shed``, or moves
                                                                                     up when that one is ``done``
``_held``      a heap by the moment of the next try: it failed, and is retried       ``take_due``
``_following`` of the key of one that is held, and held together with it             ``take_next``, or moves up
under way      nothing: whoever took it has it                                       ``done``, ``hold``
=============  ====================================================================  ==================================

Of the events of one key at most one is runnable, held or under way (with those that were taken together with it); the
others wait behind it in the order in which they came. Across keys the oldest that is runnable comes first. Everything
is O(log n) in the worst case and O(1) in the usual one, however many keys there are and however long one of them is
stuck.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush

from ...event.event import Event
from ...settings import ORDER_KEY, ORDER_NONE, ORDER_STRICT
from ..redelivery import again

_KEYS: dict[str, Callable[[Event], str]] = {
    ORDER_NONE: lambda event: "",
    ORDER_KEY: lambda event: event.stream_key or event.conn_id,
    ORDER_STRICT: lambda event: ORDER_STRICT,
}


class Delivery:
    """One event on its way through a lane.

    ``number`` counts the lane's events, ``key`` is what it is ordered by ("" if by nothing), ``since`` the monotonic
    moment of its birth, ``attempts`` the tries that count. ``seq`` is its place in the log, 0 if it is in none;
    ``reason`` says why it may have been received before (``redelivery``), "" if it cannot have been.
    """

    __slots__ = ("attempts", "event", "is_retry", "key", "number", "reason", "seq", "since")

    def __init__(self, number: int, event: Event, key: str, since: float, seq: int = 0) -> None:
        self.number = number
        self.event = event
        self.key = key
        self.since = since
        self.seq = seq
        self.attempts = 0
        self.reason = ""
        self.is_retry = False  # whether it was held before, and so takes of the share that retries have

    def given(self) -> Event:
        """The event as the hook gets it: with a word about it if the hook may have got it before."""
        if self.attempts or self.reason:
            return again(self.event, self.attempts + 1, self.reason)
        return self.event


class Schedule:
    """The deliveries of one lane. ``order`` is an ``ORDER_*`` word; moments are monotonic seconds.

    ``blocked`` counts what is held and what waits behind it.
    """

    __slots__ = (
        "_behind",
        "_followers",
        "_following",
        "_held",
        "_held_keys",
        "_key_of",
        "_number",
        "_runnable",
        "_waiting",
        "blocked",
    )

    def __init__(self, order: str) -> None:
        self._key_of = _KEYS[order]
        self._number = 0
        self._waiting: OrderedDict[int, Delivery] = OrderedDict()  # what nobody has tried, oldest first
        self._runnable: list[int] = []
        self._behind: dict[str, deque[int] | None] = {}  # by each key in use; most have nobody behind them
        self._held: list[tuple[float, int, Delivery]] = []
        self._held_keys: set[str] = set()
        self._following: dict[str, deque[Delivery]] = {}  # by key, in front of those behind
        self._followers = 0  # in all keys
        self.blocked = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._held) + self._followers

    @property
    def waiting(self) -> int:
        """How many have not been tried yet."""
        return len(self._waiting)

    @property
    def runnable(self) -> int:
        """How many of those could be taken now."""
        return len(self._runnable)

    @property
    def held(self) -> int:
        """How many wait for another try, without those that follow them."""
        return len(self._held)

    @property
    def next_at(self) -> float | None:
        """The moment of the next try of what is held, None if nothing is."""
        return self._held[0][0] if self._held else None

    def is_due(self, now: float) -> bool:
        """Return whether something that is held may be tried."""
        return bool(self._held) and self._held[0][0] <= now

    def add(self, event: Event, since: float, seq: int = 0) -> Delivery:
        """Append the event."""
        number = self._number = self._number + 1
        key = self._key_of(event)
        delivery = self._waiting[number] = Delivery(number, event, key, since, seq)
        if key:
            if key in self._behind:
                self._append_behind(key, number)
                return delivery
            self._behind[key] = None
        heappush(self._runnable, number)
        return delivery

    def take(self) -> Delivery | None:
        """The oldest that nobody has tried and that may be, None if there is none. It comes back by ``done`` or
        ``hold``."""
        return self._waiting.pop(heappop(self._runnable)) if self._runnable else None

    def take_due(self, now: float) -> Delivery | None:
        """The held one whose moment came first, None if none has come. It comes back by ``done`` or ``hold``."""
        return self._unhold() if self.is_due(now) else None

    def take_next(self, head: Delivery) -> Delivery | None:
        """The one after what was taken of the key of ``head``, to be delivered together with it; None if there is
        none. It comes back by ``hold``, or not at all: ``done`` is for the one that leads the run."""
        key = head.key
        if not key:
            return None
        if key in self._following:
            return self._next_following(key)
        behind = self._behind[key]
        return self._waiting.pop(behind.popleft()) if behind else None

    def hold(self, delivery: Delivery, at: float, followers: Sequence[Delivery] = ()) -> None:
        """Keep a delivery that was taken for another try at that moment, in front of the others of its key;
        ``followers`` of it are the first of these, in their order."""
        key = delivery.key
        delivery.is_retry = True
        heappush(self._held, (at, delivery.number, delivery))
        if followers:
            for each in followers:
                each.is_retry = True
            self._following.setdefault(key, deque()).extendleft(reversed(followers))
            self._followers += len(followers)
        if key:
            self._held_keys.add(key)
        self.blocked += 1 + self._after(key)

    def done(self, delivery: Delivery) -> None:
        """A delivery that was taken has come to its end, whichever: the next of its key is runnable."""
        self._release(delivery.key)

    def shed(self) -> Delivery:
        """Give up the oldest that has not been tried yet. There must be one."""
        number, delivery = self._waiting.popitem(last=False)
        key = delivery.key
        if self._runnable and self._runnable[0] == number:
            heappop(self._runnable)
            self._release(key)
        else:  # being the oldest of all it is the oldest of those behind its key
            behind = self._behind[key]
            assert behind
            behind.popleft()
            self.blocked -= key in self._held_keys
        return delivery

    def shed_born_before(self, moment: float) -> Iterator[Delivery]:
        """Give up those that are older than that and that nobody has tried."""
        while self._waiting and next(iter(self._waiting.values())).since < moment:
            yield self.shed()

    def due_born_before(self, moment: float, now: float) -> Iterator[Delivery]:
        """Take out those that are held and due, and older than that; they are ``done``."""
        while self.is_due(now) and self._held[0][2].since <= moment:
            delivery = self._unhold()
            self._release(delivery.key)
            yield delivery

    def hasten(self) -> None:
        """Have everything that is held due at once."""
        self._held = [(0.0, number, delivery) for _, number, delivery in self._held]
        heapify(self._held)

    def clear(self) -> Iterator[Delivery]:
        """Take out everything that is not under way."""
        while self._held:
            delivery = self._unhold()
            self._release(delivery.key)
            yield delivery
        for key in tuple(self._following):  # what they follow is under way
            while key in self._following:
                yield self._next_following(key)
        while self._waiting:
            yield self.shed()

    def find(self, event_id: str) -> str:
        """How an event waits, in words for an operator; "" if it does not wait here. Takes as long as much waits."""
        followers = [each for following in self._following.values() for each in following]
        if any(each.event.id == event_id for each in [*(delivery for _, _, delivery in self._held), *followers]):
            return "held for another try"
        return "waiting" if any(each.event.id == event_id for each in self._waiting.values()) else ""

    def oldest_since(self) -> float | None:
        """The moment at which the oldest of what waits was born, None if nothing waits. Takes as long as much is
        held."""
        moments = [delivery.since for _, _, delivery in self._held]
        moments += [following[0].since for following in self._following.values()]
        moments += [delivery.since for delivery in [next(iter(self._waiting.values()), None)] if delivery]
        return min(moments, default=None)

    # --- keys -----------------------------------------------------------------------------------------

    def _after(self, key: str) -> int:
        """How many wait after the first of a key."""
        if not key:
            return 0
        return len(self._following.get(key, ())) + len(self._behind[key] or ())

    def _unhold(self) -> Delivery:
        delivery = heappop(self._held)[2]
        key = delivery.key
        self._held_keys.discard(key)
        self.blocked -= 1 + self._after(key)
        return delivery

    def _append_behind(self, key: str, number: int) -> None:
        behind = self._behind[key]
        if behind is None:
            behind = self._behind[key] = deque()
        behind.append(number)
        self.blocked += key in self._held_keys

    def _next_following(self, key: str) -> Delivery:
        following = self._following[key]
        delivery = following.popleft()
        if not following:
            del self._following[key]
        self._followers -= 1
        return delivery

    def _release(self, key: str) -> None:
        if not key:
            return
        if key in self._following:  # whatever it was held for, nothing is in its way any more
            self.hold(self._next_following(key), 0.0)
            return
        behind = self._behind[key]
        if behind:
            heappush(self._runnable, behind.popleft())
        else:
            del self._behind[key]
