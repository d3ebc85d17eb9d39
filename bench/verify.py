"""The checker of what one player receives: order, loss, bytes, timestamps, latency.

Sequence numbers are shared by audio and video, so a message of one that overtakes the other is
noticed too. The checker is itself tested with planted faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from zlib import crc32

from .media import (
    AUDIO_SEQUENCE_HEADER,
    CRC,
    KEY_FRAME_HEAD,
    MAGIC,
    MARKER,
    MARKER_AT,
    MARKER_BYTES,
    VIDEO_SEQUENCE_HEADER,
    head,
    padding,
)
from .wire import AUDIO, VIDEO, Received

SEQUENCE_HEADERS = {VIDEO: VIDEO_SEQUENCE_HEADER, AUDIO: AUDIO_SEQUENCE_HEADER}

MAX_GAP = 1_000_000
"""Messages that may be missing in a row; a number further ahead is not one of our publisher's."""


@dataclass(slots=True)
class Faults:
    """What was wrong with the messages of one player, or of many together."""

    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupt: int = 0
    wrong_timestamp: int = 0
    without_header: int = 0

    def total(self) -> int:
        """All of them; 0 is the only good figure."""
        return sum(getattr(self, each.name) for each in fields(self))

    def add(self, other: Faults) -> None:
        """Count the faults of another player here."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def __str__(self) -> str:
        counts = ((each.name, getattr(self, each.name)) for each in fields(self))
        return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts if count) or "none"


@dataclass(slots=True)
class Verifier:
    """Follows one player. Loss and order are judged from its first key frame on: before that a server
    may hold video back.

    ``messages`` counts media messages, ``latencies_ns`` holds one entry for each by type.
    """

    faults: Faults = field(default_factory=Faults)
    messages: int = 0
    latencies_ns: dict[int, list[int]] = field(default_factory=lambda: {AUDIO: [], VIDEO: []})
    _next: int | None = None
    _missing: set[int] = field(default_factory=set)
    _headers: set[int] = field(default_factory=set)

    @property
    def started(self) -> bool:
        """Whether a key frame has arrived."""
        return self._next is not None

    def check(self, message: Received, now_ns: int) -> None:
        """Look at one message that the player received; everything but audio and video is ignored."""
        type_id, timestamp, _, body = message
        if type_id not in MARKER_AT:
            return
        at = MARKER_AT[type_id]
        if body[at : at + 4] != MAGIC:
            self._header(type_id, body)
            return
        self.messages += 1
        end = at + MARKER_BYTES
        if len(body) < end or CRC.unpack_from(body, end - CRC.size)[0] != crc32(body[at : end - CRC.size]):
            self.faults.corrupt += 1
            return
        _, sequence, sent_ns, sent_timestamp, size = MARKER.unpack_from(body, at)
        self.latencies_ns[type_id].append(now_ns - sent_ns)
        if type_id not in self._headers:
            self.faults.without_header += 1
        heads = (head(type_id, size, False), head(type_id, size, True))
        if body[:at] not in heads or body[end:] != padding(sequence, size - end):
            self.faults.corrupt += 1
        if timestamp != sent_timestamp:
            self.faults.wrong_timestamp += 1
        if self._next is not None or body[0] == KEY_FRAME_HEAD[0]:
            self._order(sequence)

    def _header(self, type_id: int, body: bytes) -> None:
        """A message without a marker has to be the sequence header."""
        if body == SEQUENCE_HEADERS[type_id]:
            self._headers.add(type_id)
        else:
            self.faults.corrupt += 1

    def _order(self, sequence: int) -> None:
        expected = sequence if self._next is None else self._next
        if sequence - expected > MAX_GAP:
            self.faults.corrupt += 1
        elif sequence >= expected:
            self._missing.update(range(expected, sequence))
            self.faults.lost += sequence - expected
            self._next = sequence + 1
        elif sequence in self._missing:
            self._missing.remove(sequence)
            self.faults.lost -= 1
            self.faults.reordered += 1
        else:
            self.faults.duplicated += 1

    def expect_up_to(self, sequence: int) -> None:
        """Nothing is under way any more: what was sent before ``sequence`` and is not here is lost."""
        if self._next is not None and self._next < sequence:
            self.faults.lost += sequence - self._next
            self._next = sequence

    def restart(self) -> None:
        """Forget counts and latencies, but not the place in the stream."""
        self.faults = Faults()
        self.messages = 0
        self._missing.clear()
        for latencies in self.latencies_ns.values():
            latencies.clear()
