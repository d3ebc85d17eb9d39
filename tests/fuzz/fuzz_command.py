"""Commands and aggregates: any bytes mean something to a session, or end in AmfError, CommandError or ChunkError.

The first byte of an input chooses the message type, the state of the session and the message stream.
"""

from __future__ import annotations

from rtmpd.errors import AmfError, ChunkError, CommandError, StreamBusy
from rtmpd.protocol.aggregate import split
from rtmpd.protocol.amf0 import AmfLimits, EcmaArray, encode
from rtmpd.protocol.constants import AGGREGATE, COMMAND_AMF0, COMMAND_AMF3, DATA_AMF0
from rtmpd.protocol.message import Message
from rtmpd.protocol.notice import ConnectAsked, PlayAsked, PublishAsked, Reply, Violation
from rtmpd.protocol.session import ServerSession
from tests.fuzz import fuzz

LIMITS = AmfLimits(depth=8, items=100, bytes=1 << 14)
TYPES = (COMMAND_AMF0, COMMAND_AMF3, DATA_AMF0, AGGREGATE)

# bits of the first byte: 0-1 type, 2-4 state, 5 message stream 1 or none, 6 refuse what is asked for
UNCONNECTED, CONNECTED, CREATED, PUBLISHING, PLAYING = 0 << 2, 1 << 2, 2 << 2, 3 << 2, 4 << 2
ON_STREAM, REFUSE = 0x20, 0x40

_CONNECT = encode(
    "connect", 1, {"app": "live/a?b", "tcUrl": "rtmp://[::1]:1/live?k", "objectEncoding": 3, "capsEx": 15.0,
                   "fourCcList": ["*"], "videoFourCcInfoMap": EcmaArray({"*": 4.0})},
)  # fmt: skip
SEEDS = [
    bytes((UNCONNECTED,)) + _CONNECT,
    bytes((UNCONNECTED | 1 | REFUSE,)) + b"\0" + _CONNECT,
    bytes((UNCONNECTED,)) + encode("connect", 1, {"tcUrl": "//[x"}),
    bytes((CONNECTED,)) + encode("createStream", 2, None),
    bytes((CREATED | ON_STREAM,)) + encode("publish", 3, None, "camera?key=1", "live"),
    bytes((CREATED | ON_STREAM | REFUSE,)) + encode("play", 3, None, "camera", -2, -1, True),
    bytes((CREATED | ON_STREAM,)) + encode("play2", 3, None, {"streamName": "camera"}),
    bytes((PUBLISHING | ON_STREAM,)) + encode("publish", 3, None, False),
    bytes((PUBLISHING,)) + encode("deleteStream", 3, None, float("nan")),
    bytes((PUBLISHING,)) + encode("FCUnpublish", 3, None, "camera"),
    bytes((PLAYING | ON_STREAM,)) + encode("pause", 3, None, True, 100),
    bytes((PLAYING | ON_STREAM,)) + encode("receiveVideo", 3, None, False),
    bytes((PLAYING | ON_STREAM,)) + encode("closeStream", 3, None),
    bytes((CONNECTED,)) + encode("_checkbw", 4, None),
    bytes((PUBLISHING | ON_STREAM | 2,)) + encode("@setDataFrame", "onMetaData", {}),
    bytes((PUBLISHING | ON_STREAM | 3,)) + b"\x08\0\0\1\0\0\5\0\0\0\0x\0\0\0\x0c\x09\0\0\0\0\0\6\0\0\0\0",
]


def one_input(data: bytes) -> None:
    if not data:
        return
    choice, payload = data[0], data[1:]
    session = _session_in(choice & 0x1C)
    message = Message(TYPES[choice & 3], payload, 1000, 1 if choice & ON_STREAM else 0)
    try:
        parts = split(message) if message.type_id == AGGREGATE else iter([message])
        for part in parts:
            _hear(session, part, refuse=bool(choice & REFUSE))
    except (AmfError, CommandError, ChunkError) as error:
        assert str(error) and error.code != type(error).__name__, "every code is a word of its own"


def _session_in(state: int) -> ServerSession:
    session = ServerSession(LIMITS, 4)
    said = [] if state == UNCONNECTED else [encode("connect", 1, {"app": "live"})]
    said += [encode("createStream", 2, None)] if state > CONNECTED else []
    said += [encode("publish", 3, None, "camera")] if state == PUBLISHING else []
    said += [encode("play", 3, None, "camera")] if state == PLAYING else []
    for number, body in enumerate(said):
        _hear(session, Message(COMMAND_AMF0, body, 0, int(number == 2)), refuse=False)
    return session


def _hear(session: ServerSession, message: Message, refuse: bool) -> None:
    for notice in session.receive(message):
        replies = []
        if isinstance(notice, Reply):
            replies = [notice]
        elif isinstance(notice, ConnectAsked | PublishAsked | PlayAsked):
            replies = session.reject(notice, StreamBusy("no")) if refuse else session.accept(notice)
            assert replies
        elif isinstance(notice, Violation):
            assert notice.code and notice.detail
        for reply in replies:
            assert 2 <= reply.csid < 64 and len(reply.message.payload) <= 2000 + 6 * LIMITS.bytes


if __name__ == "__main__":
    fuzz(one_input, SEEDS)
