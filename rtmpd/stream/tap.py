"""Taps: members of a stream that get the frames themselves, not their bytes on a socket.

To its group a tap is a member that is always behind, so it is handed every frame and never sent to. What it does with
them, and what it drops, is its own matter; it must not wait.
"""

from __future__ import annotations

from typing import Final, Protocol

from .fanout import Group
from .frame import Frame
from .subscriber import EVERYTHING, Watcher

_NO_WIRE: Final = 0


class Sink(Protocol):
    """Where the frames of a tap go. No method may switch greenlets or raise."""

    def begin(self, burst: list[Frame], wait_for_keyframe: bool) -> None:
        """The output joins with ``burst``; the video that follows cannot be shown before its next keyframe if
        ``wait_for_keyframe``."""

    def take(self, frames: list[Frame]) -> None:
        """The frames of one flush."""


class Tap:
    """Attached with ``Stream.open_output`` and ``feed``; all taps of a stream share one group."""

    __slots__ = ("_group", "_sink", "chunk_size", "msid", "wants", "watcher")

    def __init__(self, sink: Sink, watcher: Watcher) -> None:
        self._sink = sink
        self.watcher = watcher
        self._group: Group | None = None
        self.chunk_size = _NO_WIRE
        self.msid = _NO_WIRE
        self.wants = EVERYTHING

    def join(self, group: Group, burst: list[Frame], wait_for_keyframe: bool) -> None:
        """Enter a group; what it gathers from now on follows ``burst``."""
        self._group = group
        group.behind.append(self)
        self._sink.begin(burst, wait_for_keyframe)

    def leave(self) -> None:
        """Leave the group, if it is in one."""
        if self._group is not None:
            self._group.remove(self)
            self._group = None

    def enqueue(self, frames: list[Frame]) -> None:
        """Pass ``frames`` to the sink."""
        if self._group is not None:  # it may have left during the flush
            self._sink.take(frames)
