"""Aggregate messages: several FLV tags in one message of type 22.

Source: RTMP 1.0, 7.1.6. The first tag's timestamp stands for the message's own: every tag is moved
by the difference of the two.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ChunkError
from .constants import AUDIO, DATA_AMF0, VIDEO
from .message import Message

_TAG_HEADER = 11
_BACK_POINTER = 4


def split(message: Message) -> Iterator[Message]:
    """The audio, video and data messages inside an aggregate, in order.

    Raises ChunkError where a tag is longer than what is left. A missing last back pointer is
    tolerated; other tag types are skipped.
    """
    payload = message.payload
    position = 0
    shift = None
    while position < len(payload):
        body = position + _TAG_HEADER
        if body > len(payload):
            raise ChunkError("an aggregate message ends inside a tag header", "bad_aggregate")
        size = int.from_bytes(payload[position + 1 : position + 4], "big")
        timestamp = int.from_bytes(payload[position + 4 : position + 7], "big") | payload[position + 7] << 24
        end = body + size
        if end > len(payload):
            raise ChunkError(f"a tag of {size} bytes does not fit its aggregate message", "bad_aggregate")
        if shift is None:
            shift = message.timestamp - timestamp
        type_id = payload[position] & 0x1F
        if type_id in (AUDIO, VIDEO, DATA_AMF0):
            yield Message(type_id, payload[body:end], (timestamp + shift) & 0xFFFFFFFF, message.msid)
        position = end + _BACK_POINTER
