"""HLS as files, for a web server or a CDN in front: the segments and playlists of each stream below a directory.

Each file appears whole, by a rename, and a playlist after the segments it names. A thread writes; a disk that fails or
is slow costs these files and nothing else, and is reported once.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Final
from urllib.parse import quote

import gevent
from gevent.event import Event
from gevent.threadpool import ThreadPool

from ..log import logger
from .hls import INDEX, PLAYLIST, HlsStream, Observer, Segment

_MAX_JOBS: Final = 512
_CLOSING_S: Final = 3.0

_log = logger("playback")

_Job = tuple[str, bytes | None]


def folder_of(root: str, key: str) -> str:
    """Where the files of a stream are: below ``root``, whatever its name is."""
    return os.path.join(root, *(_safe(part) for part in key.split("/")))


def _safe(part: str) -> str:
    quoted = quote(part, safe=" @+,=")
    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted


class Directory(Observer):
    """Writes below ``root``. ``failure`` is why the last write failed, "" if it did not. ``finish`` once."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.failure = ""
        self._is_over = False
        self._jobs: deque[_Job] = deque()
        self._wake = Event()
        self._threads = ThreadPool(1)
        self._written: dict[str, set[str]] = {}
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = "hls directory"

    def finish(self) -> None:
        """Write what is left, and no more."""
        self._is_over = True
        self._wake.set()

    def stop(self) -> None:
        """Finish, and wait for it, but not for ever. May switch greenlets."""
        self.finish()
        self._greenlet.join(_CLOSING_S)
        self._greenlet.kill()

    # --- called by the playlists ------------------------------------------------------------------

    def closed(self, hls: HlsStream, segment: Segment) -> None:
        """Write the segment, its init segment if that is new, and the playlists."""
        folder = folder_of(self.root, hls.stream.key)
        written = self._written.setdefault(folder, set())
        if segment.init not in written:
            written.add(segment.init)
            self._put(os.path.join(folder, segment.init), hls.file(segment.init))
        written.add(segment.name)
        self._put(os.path.join(folder, segment.name), segment.data)
        self.changed(hls)

    def changed(self, hls: HlsStream) -> None:
        """Write the playlists."""
        if hls.has_segments:
            folder = folder_of(self.root, hls.stream.key)
            self._put(os.path.join(folder, PLAYLIST), hls.playlist("").encode())
            self._put(os.path.join(folder, INDEX), hls.index("").encode())

    def dropped(self, hls: HlsStream, names: list[str]) -> None:
        """Remove files."""
        folder = folder_of(self.root, hls.stream.key)
        written = self._written.get(folder, set())
        for name in names:
            if name in written:
                written.discard(name)
                self._put(os.path.join(folder, name), None)

    def _put(self, path: str, data: bytes | None) -> None:
        if len(self._jobs) >= _MAX_JOBS:
            self._failed("the disk is too slow: files are left out")
            return
        self._jobs.append((path, data))
        self._wake.set()

    # --- the greenlet -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_over or self._jobs:
            self._wake.wait()
            self._wake.clear()
            while self._jobs:
                path, data = self._jobs.popleft()
                try:
                    self._threads.apply(_write if data is not None else _remove, (path, data))
                except OSError as error:
                    self._failed(f"{path}: {error.strerror or error}")
                else:
                    self._worked()
        self._threads.kill()

    def _failed(self, why: str) -> None:
        if not self.failure:
            _log.error("files of HLS cannot be written", error=why)
        self.failure = why

    def _worked(self) -> None:
        if self.failure:
            self.failure = ""
            _log.warning("files of HLS are written again", path=self.root)


def _write(path: str, data: bytes) -> None:
    """Write a file so that it appears whole. Called in the thread. Raises OSError."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.part"
    with open(part, "wb") as file:
        file.write(data)
    os.replace(part, path)


def _remove(path: str, data: None) -> None:
    """Remove a file, if it is there. Called in the thread. Raises OSError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
