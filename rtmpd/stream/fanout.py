"""The send loop: the same bytes to every player of a group.

This is where a server of many players spends its time. The kernel's ``send`` is nine tenths of it,
so there is one ``send`` per player and flush, and nothing else per player: the loop over the players
runs inside the interpreter (``list.extend`` over a ``map``), not in bytecode, which costs as much
again as the loop when the caches are cold. A send that raises stops ``extend`` with what it has, and
the same ``map`` goes on after it. What is not the ordinary case is dealt with after the loop. The only
player of a group is sent to directly: setting up the loop would cost more than the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from operator import call
from typing import Protocol

from .frame import Frame
from .gop import GopCache


class Member(Protocol):
    """A player or an output as its group and its stream see it. ``wants`` is a mask of AUDIO, VIDEO and DATA."""

    chunk_size: int
    msid: int
    wants: int

    def join(self, group: Group, burst: list[Frame], wait_for_keyframe: bool) -> None:
        """Enter ``group.behind``, beginning with ``burst``; what the group gathers from now on follows it."""

    def enqueue(self, frames: list[Frame]) -> None:
        """Take new frames while behind."""

    def leave(self) -> None:
        """Leave the group, if it is in one."""


class Receiver(Member, Protocol):
    """A member that can be sent to directly, while it is caught up."""

    @property
    def send_now(self) -> Callable[[bytes], int]:
        """Takes bytes without waiting; how many, or BlockingIOError for none."""

    def fall_behind(self, rest: bytes, frames: list[Frame], sent: int) -> None:
        """Not everything fitted: ``sent`` bytes are gone, ``rest`` finishes a frame that was begun
        and must follow, ``frames`` come after it."""

    def fail(self, error: OSError) -> None:
        """Report that the socket has failed with ``error``."""


class Group:
    """Players that get the same bytes: same chunk size, message stream id and kinds of media. ``gop`` is the stream's:
    it says whether there is a picture to wait for.

    ``sent_bytes`` counts what one player that is never behind has been sent. Members move between
    ``caught_up`` and ``behind``; each method keeps ``_sends`` in step with ``caught_up``.
    """

    __slots__ = ("_sends", "behind", "caught_up", "chunk_size", "frames", "gop", "msid", "sent_bytes", "wants")

    def __init__(self, chunk_size: int, msid: int, wants: int, gop: GopCache) -> None:
        self.gop = gop
        self.chunk_size = chunk_size
        self.msid = msid
        self.wants = wants
        self.frames: list[Frame] = []
        self.caught_up: list[Receiver] = []
        self.behind: list[Member] = []
        self._sends: list[Callable[[bytes], int]] = []
        self.sent_bytes = 0

    def __bool__(self) -> bool:
        return bool(self.caught_up or self.behind)

    def __len__(self) -> int:
        return len(self.caught_up) + len(self.behind)

    def promote(self, member: Receiver) -> None:
        """Send to this member directly from now on, because it has caught up or is new."""
        if member in self.behind:
            self.behind.remove(member)
        self.caught_up.append(member)
        self._sends.append(member.send_now)

    def demote(self, member: Receiver) -> None:
        """Send nothing to this member directly any more; it gets frames by ``enqueue``."""
        self._leave_caught_up(member)
        if member not in self.behind:
            self.behind.append(member)

    def remove(self, member: Member) -> None:
        """Remove ``member`` from the group."""
        self._leave_caught_up(member)
        if member in self.behind:
            self.behind.remove(member)

    def _leave_caught_up(self, member: Member) -> None:
        if member in self.caught_up:
            index = self.caught_up.index(member)
            del self.caught_up[index]
            del self._sends[index]

    def flush(self) -> None:
        """Send the gathered frames to all members. Never raises."""
        frames = self.frames
        if not frames:
            return
        self.frames = []
        behind = self.behind[:] if self.behind else None
        if self._sends:
            self._send(frames)
        if behind is not None:
            for member in behind:
                member.enqueue(frames)

    def _send(self, frames: list[Frame]) -> None:
        chunk_size = self.chunk_size
        msid = self.msid
        if len(frames) == 1:
            data = frames[0].wire(chunk_size, msid)
        else:
            data = b"".join([frame.wire(chunk_size, msid) for frame in frames])
        size = len(data)
        sends = self._sends
        if len(sends) == 1:
            try:
                taken = sends[0](data)
            except BlockingIOError:
                taken = 0
            except OSError as error:
                self._settle(frames, data, [size], {0: error})
                taken = size
            if taken != size:
                self._settle(frames, data, [taken], {})
            self.sent_bytes += size
            return
        sent: list[int] = []
        broken: dict[int, OSError] = {}
        sending = map(call, sends, repeat(data))
        while True:
            try:
                sent.extend(sending)
                break
            except BlockingIOError:
                sent.append(0)
            except OSError as error:
                broken[len(sent)] = error
                sent.append(size)
        if broken or sent.count(size) != len(sent):
            self._settle(frames, data, sent, broken)
        self.sent_bytes += size

    def _settle(self, frames: list[Frame], data: bytes, sent_to: list[int], broken: dict[int, OSError]) -> None:
        """Move members that did not take everything to ``behind``. All are looked up before any moves."""
        slow = [(self.caught_up[index], sent) for index, sent in enumerate(sent_to) if sent != len(data)]
        failed = [(self.caught_up[index], error) for index, error in broken.items()]
        for member, sent in slow:
            begun, end = 0, 0
            while begun < len(frames) and (end <= sent or begun == 0) and end < len(data):
                end += len(frames[begun].wire(self.chunk_size, self.msid))
                begun += 1
            self.demote(member)
            member.fall_behind(data[sent:end], frames[begun:], sent)
        for member, error in failed:
            self.remove(member)
            member.fail(error)
