"""Publish an FLV file with rtmpdump's library: ``librtmp_publish.py FILE URL [keep]``.

librtmp sends every tag with the timestamp that stands in the file, in real time here. A program of
its own, as a hanging C call would stop the whole test run. With ``keep`` the connection stays open
after the last tag until the process is ended.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator

HEADER_BYTES = 13
TAG_HEADER_BYTES = 11


def load() -> ctypes.CDLL:
    library = ctypes.CDLL("librtmp.so.1")
    library.RTMP_Alloc.restype = ctypes.c_void_p
    for name in ("RTMP_Init", "RTMP_EnableWrite", "RTMP_Close", "RTMP_Free"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.RTMP_SetupURL.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.RTMP_Connect.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    library.RTMP_ConnectStream.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.RTMP_Write.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    return library


def tags(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = HEADER_BYTES
    while at + TAG_HEADER_BYTES <= len(data):
        end = at + TAG_HEADER_BYTES + int.from_bytes(data[at + 1 : at + 4], "big") + 4
        timestamp_ms = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        yield data[at], timestamp_ms, data[at:end]
        at = end


def main(path: str, url: str, keep: bool) -> None:
    library = load()
    rtmp = library.RTMP_Alloc()
    library.RTMP_Init(rtmp)
    url_buffer = ctypes.create_string_buffer(url.encode())
    if not library.RTMP_SetupURL(rtmp, url_buffer):
        sys.exit("librtmp does not take the URL")
    library.RTMP_EnableWrite(rtmp)
    if not library.RTMP_Connect(rtmp, None) or not library.RTMP_ConnectStream(rtmp, 0):
        sys.exit("librtmp could not connect or publish")
    with open(path, "rb") as file:
        data = file.read()
    first_ms = next((stamp for kind, stamp, _ in tags(data) if kind != 18), 0)
    started = time.monotonic()
    for kind, timestamp_ms, tag in tags(data):
        due_s = 0.0 if kind == 18 else ((timestamp_ms - first_ms + (1 << 31)) % (1 << 32) - (1 << 31)) / 1000
        time.sleep(max(0.0, started + due_s - time.monotonic()))
        if library.RTMP_Write(rtmp, tag, len(tag)) <= 0:
            sys.exit("librtmp could not write: the server closed the connection")
    while keep:
        time.sleep(60)
    library.RTMP_Close(rtmp)
    library.RTMP_Free(rtmp)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:] == ["keep"])
