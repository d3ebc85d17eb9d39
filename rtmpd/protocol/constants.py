"""Numbers of the standard.

Source: RTMP 1.0 (Adobe, 2012): message types 5.4 and 7.1, user control events 7.1.7, chunk stream
ids 5.3.1.1; chunk stream ids by role are the convention that players expect.
"""

from __future__ import annotations

from typing import Final

# message types
SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2
ACKNOWLEDGEMENT: Final = 3
USER_CONTROL: Final = 4
WINDOW_ACK_SIZE: Final = 5
SET_PEER_BANDWIDTH: Final = 6
AUDIO: Final = 8
VIDEO: Final = 9
DATA_AMF3: Final = 15
SHARED_OBJECT_AMF3: Final = 16
COMMAND_AMF3: Final = 17
DATA_AMF0: Final = 18
SHARED_OBJECT_AMF0: Final = 19
COMMAND_AMF0: Final = 20
AGGREGATE: Final = 22

# user control events
STREAM_BEGIN: Final = 0
STREAM_EOF: Final = 1
STREAM_DRY: Final = 2
SET_BUFFER_LENGTH: Final = 3
STREAM_IS_RECORDED: Final = 4
PING_REQUEST: Final = 6
PING_RESPONSE: Final = 7

# peer bandwidth limit types
BANDWIDTH_HARD: Final = 0
BANDWIDTH_SOFT: Final = 1
BANDWIDTH_DYNAMIC: Final = 2

# chunk streams by role
CSID_CONTROL: Final = 2
CSID_COMMAND: Final = 3
CSID_STATUS: Final = 5
CSID_DATA: Final = 5
CSID_AUDIO: Final = 6
CSID_VIDEO: Final = 7

DEFAULT_CHUNK_SIZE: Final = 128
MAX_CHUNK_SIZE: Final = 0xFFFFFF
EXTENDED_TIMESTAMP: Final = 0xFFFFFF
TIMESTAMP_MODULUS: Final = 1 << 32
