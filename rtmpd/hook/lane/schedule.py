"""What one lane has to deliver, and what may be delivered now.

Of the events of one key at most one is runnable, under way or held for another try; the others wait
behind it in the order in which they came. Across keys the oldest that is runnable comes first. Everything is
O(log n) in the worst case and O(1) in the usual one, however many keys there are and however long one of them
is stuck, and what is kept is what was added and is not done yet.

Nothing here knows of time to wait for or of greenlets: the lane asks when it is ready to deliver.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush

from ...event.event import Event
from ...settings import ORDER_KEY, ORDER_NONE, ORDER_STRICT

_KEYS: dict[str, Callable[[Event], str]] = {
    ORDER_NONE: lambda event: "",
    ORDER_KEY: lambda event: event.stream_key or event.conn_id,
    ORDER_STRICT: lambda event: ORDER_STRICT,
}


class Delivery:
    """One event on its way through a lane. ``number`` counts the lane's events, ``key`` is what it is ordered by
    ("" if by nothing), ``since`` the monotonic moment at which it was born, ``attempts`` the tries that
    count. ``seq`` is its place in the log, 0 if it is in none; ``doubt`` says why it may have been received before,
    "" if it can not have been."""

    __slots__ = ("attempts", "doubt", "event", "key", "number", "seq", "since")

    def __init__(self, number: int, event: Event, key: str, since: float, seq: int = 0) -> None:
        self.number = number
        self.event = event
        self.key = key
        self.since = since
        self.seq = seq
        self.attempts = 0
        self.doubt = ""


class Schedule:
    """The deliveries of one lane. ``order`` is an ``ORDER_*`` word. Never switches.

    Each delivery is in one of five places: ``_runnable`` (a heap of numbers), ``_behind`` another of its key, ``_held``
    for another try, ``_following`` one of its key that was held together with it, or with whoever took it. ``_waiting``
    has those of the first two, which nobody has tried yet, oldest first.
    """

    __slots__ = ("_behind", "_followers", "_following", "_held", "_key_of", "_number", "_runnable", "_waiting")

    def __init__(self, order: str) -> None:
        self._key_of = _KEYS[order]
        self._number = 0
        self._waiting: OrderedDict[int, Delivery] = OrderedDict()
        self._runnable: list[int] = []
        self._behind: dict[str, deque[int] | None] = {}  # by each key in use; most have nobody behind them
        self._held: list[tuple[int, Delivery]] = []
        self._following: dict[str, deque[Delivery]] = {}  # by key, in front of those behind
        self._followers = 0  # in all keys

    def __len__(self) -> int:
        return len(self._waiting) + len(self._held) + self._followers

    @property
    def waiting(self) -> int:
        """How many have not been tried yet."""
        return len(self._waiting)

    @property
    def runnable(self) -> int:
        """How many could be taken now."""
        return len(self._runnable) + len(self._held)

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
        """The oldest that is runnable, None if none is. It is to come back by ``done`` or ``hold``."""
        held, runnable = self._held, self._runnable
        if held and not (runnable and runnable[0] < held[0][0]):
            return heappop(held)[1]
        return self._waiting.pop(heappop(runnable)) if runnable else None

    def follow(self, delivery: Delivery) -> Delivery | None:
        """The one right behind what was taken of its key, to be delivered together with it; None if there is none.

        It comes back by ``hold``, or not at all: ``done`` is for the one that leads the run.
        """
        if not delivery.key:
            return None
        if delivery.key in self._following:
            return self._next_following(delivery.key)
        behind = self._behind[delivery.key]
        return self._waiting.pop(behind.popleft()) if behind else None

    def hold(self, delivery: Delivery, followers: Sequence[Delivery] = ()) -> None:
        """Keep a delivery that was taken for another try, in front of the others of its key; ``followers`` of it
        are the first of these, in their order."""
        heappush(self._held, (delivery.number, delivery))
        if followers:
            self._following.setdefault(delivery.key, deque()).extendleft(reversed(followers))
            self._followers += len(followers)

    def done(self, delivery: Delivery) -> None:
        """A delivery that was taken has come to its end, whichever: the next of its key is runnable."""
        self._release(delivery.key)

    def shed(self) -> Delivery:
        """Give up the oldest that has not been tried yet. There must be one."""
        number, delivery = self._waiting.popitem(last=False)
        if self._runnable and self._runnable[0] == number:
            heappop(self._runnable)
            self._release(delivery.key)
        else:  # being the oldest of all it is the oldest of those behind its key
            behind = self._behind[delivery.key]
            assert behind
            behind.popleft()
        return delivery

    def expired(self, before: float) -> Iterator[Delivery]:
        """Take out those that came before that moment and are not under way, nor were held with one that is."""
        while self._held and self._held[0][1].since < before:
            delivery = heappop(self._held)[1]
            self._release(delivery.key)
            yield delivery
        while self._waiting and next(iter(self._waiting.values())).since < before:
            yield self.shed()

    def clear(self) -> Iterator[Delivery]:
        """Take out everything that is not under way, oldest first."""
        while self._held:
            delivery = heappop(self._held)[1]
            self._release(delivery.key)
            yield delivery
        for key in tuple(self._following):  # what they follow is under way
            while key in self._following:
                yield self._next_following(key)
        while self._waiting:
            yield self.shed()

    def oldest_since(self) -> float | None:
        """The moment at which the longest waiting one came, None if nothing waits."""
        moments = [delivery.since for _, delivery in self._held[:1]]
        moments += [following[0].since for following in self._following.values()]
        moments += [delivery.since for delivery in [next(iter(self._waiting.values()), None)] if delivery]
        return min(moments, default=None)

    def _append_behind(self, key: str, number: int) -> None:
        behind = self._behind[key]
        if behind is None:
            behind = self._behind[key] = deque()
        behind.append(number)

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
        if key in self._following:
            self.hold(self._next_following(key))
            return
        behind = self._behind[key]
        if behind:
            heappush(self._runnable, behind.popleft())
        else:
            del self._behind[key]
