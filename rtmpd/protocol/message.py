"""One RTMP message, as it comes out of the chunk stream and goes into it."""

from __future__ import annotations


class Message:
    """``type_id`` is one of ``constants`` (8 audio, 9 video, 18 data, 20 command ...), ``msid`` the
    message stream id, ``timestamp`` absolute milliseconds modulo 2**32, ``payload`` the body.

    A plain slotted class: two of them are made for every video frame that passes.
    """

    __slots__ = ("msid", "payload", "timestamp", "type_id")

    def __init__(self, type_id: int, payload: bytes, timestamp: int = 0, msid: int = 0) -> None:
        self.type_id = type_id
        self.payload = payload
        self.timestamp = timestamp
        self.msid = msid

    def __repr__(self) -> str:
        size = len(self.payload)
        return f"Message(type_id={self.type_id}, timestamp={self.timestamp}, msid={self.msid}, {size} bytes)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (self.type_id, self.payload, self.timestamp, self.msid) == (
            other.type_id,
            other.payload,
            other.timestamp,
            other.msid,
        )

    __hash__ = None  # type: ignore[assignment]
