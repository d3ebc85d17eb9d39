"""A message on its way from one publisher to many players: media, or a notice that must keep its
place among the media."""

from __future__ import annotations

from typing import Final

from ..protocol.chunk import append_chunks
from ..protocol.constants import AUDIO, CSID_AUDIO, CSID_CONTROL, CSID_DATA, CSID_VIDEO, USER_CONTROL, VIDEO

_CSID: Final = {AUDIO: CSID_AUDIO, VIDEO: CSID_VIDEO, USER_CONTROL: CSID_CONTROL}


FRAME_BYTES: Final = 192  #: what a frame holds besides its payload, so that empty ones count too


class Frame:
    """``flags`` are those of ``codec.classify``; ``timestamp`` is what players see, in ms modulo 2**32.

    The wire bytes are made once for a chunk size and message stream id and kept: in practice every
    player uses the same two, so every player is sent the same bytes object.
    """

    __slots__ = ("_wire", "_wire_chunk_size", "_wire_msid", "flags", "payload", "timestamp", "type_id")

    def __init__(self, type_id: int, payload: bytes, timestamp: int, flags: int) -> None:
        self.type_id = type_id
        self.payload = payload
        self.timestamp = timestamp
        self.flags = flags
        self._wire = b""
        self._wire_chunk_size = 0
        self._wire_msid = 0

    @property
    def weight(self) -> int:
        """The bytes of memory that this frame stands for, roughly; what the bounds count."""
        return len(self.payload) + FRAME_BYTES

    def wire(self, chunk_size: int, msid: int) -> bytes:
        """The message as chunks: a type 0 header, then type 3."""
        if self._wire_chunk_size == chunk_size and self._wire_msid == msid:
            return self._wire
        out: list[bytes] = []
        csid = _CSID.get(self.type_id, CSID_DATA)
        stream_id = msid if csid != CSID_CONTROL else 0
        append_chunks(out, csid, self.type_id, stream_id, self.timestamp, self.payload, chunk_size)
        self._wire = b"".join(out)
        self._wire_chunk_size = chunk_size
        self._wire_msid = msid
        return self._wire

    def at(self, timestamp: int) -> Frame:
        """The same payload at another time; for headers that a late joiner gets."""
        return self if timestamp == self.timestamp else Frame(self.type_id, self.payload, timestamp, self.flags)
