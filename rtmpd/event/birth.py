"""What an event is given at its birth: an id that sorts by time and a number in its stream."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from .catalogue import severity_of
from .event import Event

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_TO_BASE_32 = str.maketrans(_ALPHABET, "0123456789ABCDEFGHIJKLMNOPQRSTUV")
_LETTERS = frozenset(_ALPHABET)
_ID_LETTERS = 26
_RANDOM_BITS = 80
_STREAMS = 16384  # 3 MB when the table is full


def first_id_of(unix_s: float) -> str:
    """An id below every one that is made from that moment on, and above those from before."""
    value = max(int(unix_s * 1000), 0) << _RANDOM_BITS
    return _text(value)


def _text(value: int) -> str:
    return "evt_" + "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])


def number_of(id: str) -> int:
    """Return the 128 bits of an event's id, -1 if it is not one of ours."""
    letters = id.removeprefix("evt_")
    if len(letters) != _ID_LETTERS or not _LETTERS.issuperset(letters):
        return -1
    return int(letters.translate(_TO_BASE_32), 32) & (1 << 128) - 1


def trace_id_of(id: str) -> str:
    """Return the 128 bits of an event's id as a trace id of W3C Trace Context: 32 hex digits, "" if it is not one of
    ours."""
    number = number_of(id)
    return f"{number:032x}" if number > 0 else ""


def ms_of(id: str) -> int:
    """Return the Unix time of the event with that id in ms, -1 if it is not an id of ours."""
    return number_of(id) >> _RANDOM_BITS


def time_of(id: str) -> float:
    """Return the Unix time of the event with that id, to the millisecond; 0 if it is not an id of ours."""
    return max(ms_of(id), 0) / 1000


class EventIds:
    """Makes ``evt_`` and 26 characters: 48 bits of Unix time in ms, 80 random bits (the layout of a ULID).

    Every id is greater than the one before, also within a millisecond and when the wall clock is
    set back. ``random_bytes(n)`` gives n random bytes.
    """

    __slots__ = ("_last", "_random_bytes")

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._last = 0

    def next(self, unix_ms: int) -> str:
        if unix_ms > self._last >> _RANDOM_BITS:
            self._last = unix_ms << _RANDOM_BITS | int.from_bytes(self._random_bytes(10))
        else:
            self._last += 1
        return _text(self._last)


class SequenceNumbers:
    """Counts the events of each stream from 1, else of each connection, else of the server.

    Memory is bounded: of more than ``limit`` counters the one used longest ago is given up. Should
    its stream come back it goes on above its old number, so numbers never run backwards.
    """

    __slots__ = ("_floor", "_last", "_limit")

    def __init__(self, limit: int = _STREAMS) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()
        self._limit = limit
        self._floor = 0

    def next(self, subject: str) -> int:
        number = self._last.get(subject, self._floor) + 1
        self._last[subject] = number
        self._last.move_to_end(subject)
        if len(self._last) > self._limit:
            self._floor = max(self._floor, self._last.popitem(last=False)[1])
        return number


class Births:
    """Makes events. ``wall`` gives Unix time in seconds, ``random_bytes(n)`` n random bytes."""

    __slots__ = ("_ids", "_numbers", "_wall")

    def __init__(self, wall: Callable[[], float], random_bytes: Callable[[int], bytes]) -> None:
        self._wall = wall
        self._ids = EventIds(random_bytes)
        self._numbers = SequenceNumbers()

    def event(self, type: str, conn_id: str, stream_key: str, data: dict[str, object]) -> Event:
        """The event as of now."""
        now = self._wall()
        return Event(
            type,
            int(now),
            conn_id,
            stream_key,
            data,
            self._ids.next(int(now * 1000)),
            self._numbers.next(stream_key or conn_id),
            severity_of(type, data),
        )
