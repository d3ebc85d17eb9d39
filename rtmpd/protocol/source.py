"""Where bytes come from, for code that pulls.

Protocol code asks for exactly the bytes that it needs next and reads like a dialogue. It never
sees a socket: in production ``recv`` may switch greenlets, in tests it slices bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ..errors import ConnectionLost


class Source(Protocol):
    """Gives bytes in the order they were sent."""

    def recv(self) -> bytes:
        """At least one byte and at most 64 KiB; ``b""`` at the end of the stream.

        May switch greenlets. Raises ConnectionLost and PeerTimeout.
        """
        ...


class MemorySource:
    """A source over bytes in memory; each item of ``pieces`` is what one ``recv`` brings."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)

    def recv(self) -> bytes:
        return next(self._pieces, b"")


class Buffer:
    """Bytes received and not used yet, over a source.

    ``data[pos:]`` is what is there. The chunk reader works on the two attributes directly (that is
    the hot path); everybody else calls ``read``. The handshake and the chunk stream of one
    connection share one buffer, so nothing that arrives early is lost between them.
    """

    __slots__ = ("_source", "data", "pos")

    def __init__(self, source: Source) -> None:
        self._source = source
        self.data = b""
        self.pos = 0

    def __len__(self) -> int:
        return len(self.data) - self.pos

    def fill(self, count: int) -> None:
        """Make at least ``count`` bytes available. May switch greenlets.

        Raises ConnectionLost with the code ``EOF`` if the stream ends first, clean if not a single
        byte was waiting.
        """
        have = len(self.data) - self.pos
        if have >= count:
            return
        pieces = [self.data[self.pos :]] if have else []
        while have < count:
            piece = self._source.recv()
            if not piece:
                self.data, self.pos = b"".join(pieces), 0
                raise ConnectionLost("the stream ended", "EOF", clean=not have)
            pieces.append(piece)
            have += len(piece)
        self.data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.pos = 0

    def forget(self) -> None:
        """Let go of bytes that were read, before a long wait."""
        if self.pos == len(self.data):
            self.data, self.pos = b"", 0

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes. May switch greenlets; raises as ``fill``."""
        if len(self.data) - self.pos < count:
            self.fill(count)
        start = self.pos
        self.pos = start + count
        return self.data[start : self.pos]
