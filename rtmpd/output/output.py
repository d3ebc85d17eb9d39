"""The life cycle of one output, the same for relays and recordings.

It hears the stream through a tap, works in a greenlet of its own, begins at once and ends once: with its stream, by a
reload, with the server, or by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import gevent

from ..stream.frame import Frame
from ..stream.stream import Stream
from ..stream.tap import Tap


class Owner(Protocol):
    """The owner of the outputs. ``stream_end`` is the reason of outputs that end with their stream."""

    stream_end: str

    def ended(self, output: Output) -> None:
        """``output`` has left its stream, and closes now. Called once; must not switch greenlets."""


class Output(ABC):
    """A subclass does its work in ``_run``, the body of the greenlet. It takes frames by ``begin`` and ``take``, which
    are called from where the stream is flushed. ``reason`` is why it ends, "" while it does not.

    No method switches greenlets but ``join``.
    """

    def __init__(self, stream: Stream, owner: Owner, name: str) -> None:
        self.stream = stream
        self.reason = ""
        self._owner = owner
        self._tap = Tap(self, self)
        stream.open_output(self._tap)
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = name

    @abstractmethod
    def _run(self) -> None:
        """Do the work, until ``reason`` is set."""

    @abstractmethod
    def _wind_up(self) -> None:
        """Make ``_run`` notice that ``reason`` is set."""

    # --- called by the stream ---------------------------------------------------------------------

    @abstractmethod
    def begin(self, burst: list[Frame], wait_for_keyframe: bool) -> None:
        """The output joins with ``burst``; without a keyframe in it, video cannot be shown before the next one."""

    @abstractmethod
    def take(self, frames: list[Frame]) -> None:
        """The frames of one flush."""

    def published(self) -> None:  # noqa: B027  a relay or a recording just goes on
        """Another publisher goes on with the stream, and the output with what it sends."""

    def unpublished(self) -> None:
        """End the output: the stream is over."""
        self.end(self._owner.stream_end)

    # --- the end ----------------------------------------------------------------------------------

    def end(self, reason: str) -> None:
        """Leave the stream. What waits is still written or sent, within the time that ``Outputs.stop`` gives."""
        if not self.reason:
            self.reason = reason
            self._owner.ended(self)
            self.stream.detach(self._tap)
            self._wind_up()

    @abstractmethod
    def abandon(self) -> None:
        """Wait no longer for the disk or the destination."""

    @property
    def closed(self) -> bool:
        """Whether nothing of it is left."""
        return self._greenlet.dead

    def join(self, timeout_s: float) -> bool:
        """Wait until it is closed, for ``timeout_s`` at most; whether it is. May switch greenlets."""
        self._greenlet.join(timeout_s)
        return self.closed
