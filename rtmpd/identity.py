"""Decides which stream a client means: maps what it sends to (application, name).

Clients split one URL in different ways. Of ``rtmp://host/live/room/cam`` ffmpeg makes the application ``live/room``
and the name ``cam``, OBS whatever its two fields hold. So the split says nothing. A stream is named by its whole path,
the application of connect and the name of publish or play together, and this module splits it again:

1. Everything from the first ``?`` on is a query, in the application as in the name.
2. The path is cut at its slashes. Empty segments (leading, trailing, doubled slashes) and ``_definst_`` (the default
   instance of an application, as Flash and Wowza write it) are left out. Nothing else is changed: case counts, ``%2F``
   is three characters, and ``.`` and ``..`` are ordinary names.
3. The application is the longest beginning of the path that the configuration names: a subsection of ``[apps]``, or an
   entry of ``served``, in which ``*``, ``?`` and ``[...]`` stand for characters of one segment. If it names none, the
   application is the first segment.
4. The rest is the name. There has to be one, or else a query in its place: a stream key that is only ``?token=...``
   has the name ``default``.

Rules, limits, outputs and events go by what comes out, and so does the key, ``application/name``.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, NamedTuple

from .errors import InvalidStreamKey
from .settings import AppsSettings
from .text import find_unshowable

NAME_BYTES: Final = 512
QUERY_ONLY: Final = "default"

_REMEMBERED: Final = 256  # streams, whose names are bounded
_DEFAULT_INSTANCE: Final = "_definst_"
_GLOB: Final = frozenset("*?[")
_BROKEN: Final = "\ufffd"  # what became of bytes that are not UTF-8

Segments = tuple[str, ...]


class StreamId(NamedTuple):
    """The application and the name of a stream."""

    app: str
    name: str

    @property
    def key(self) -> str:
        """The stream key, ``application/name``."""
        return f"{self.app}/{self.name}"


def segments(*texts: str) -> Segments:
    """Return what ``texts``, one after another, are as a path: the second of the four steps."""
    parts = "/".join(texts).split("/")
    if "" in parts or _DEFAULT_INSTANCE in parts:
        parts = [part for part in parts if part and part != _DEFAULT_INSTANCE]
    return tuple(parts)


def joined(*texts: str) -> str:
    """Return the path of ``texts`` in the form that a stream key has."""
    return "/".join(segments(*texts))


def is_clean(*names: str) -> bool:
    """Return whether names from the network can be part of a key: valid UTF-8 that may be shown, at most 512 bytes
    each."""
    text = "".join(names)
    if find_unshowable(text) or _BROKEN in text:
        return False
    if len(text.encode("utf-8", "replace")) <= NAME_BYTES:
        return True
    return all(len(name.encode("utf-8", "replace")) <= NAME_BYTES for name in names)


def covers(app: str, name: str, stream: StreamId) -> bool:
    """Return whether a scope (globs of an application and of a name, as in a token) is good for a stream.

    The scope may have been written for another split of the path. So it also counts if it begins with the very
    application of the stream: ``live/room`` and ``cam`` are good for ``room/cam`` of ``live``. A glob of names never
    reaches into another application: ``live`` and ``*`` are not good for ``cam`` of ``live/room``.
    """
    if fnmatchcase(stream.app, app) and fnmatchcase(stream.name, name):
        return True
    path, beginning = joined(app, name), f"{stream.app}/"
    return path.startswith(beginning) and fnmatchcase(stream.name, path.removeprefix(beginning))


class Applications:
    """The configured applications, and which of them are served."""

    def __init__(self, apps: AppsSettings) -> None:
        self.serves: Final = apps.serves  #: whether clients may use an application
        names = [name for name, _ in apps.named] + [name for name in apps.served if not _GLOB.intersection(name)]
        self._named = frozenset(segments(name) for name in names)
        # "*" alone says no more than what holds without a match
        self._globs = tuple(segments(name) for name in apps.served if name != "*" and _GLOB.intersection(name))
        self._longest = max(map(len, (*self._named, *self._globs)), default=0)
        self._identify = lru_cache(maxsize=_REMEMBERED)(self._find)  # a stream has many players

    def app_of(self, path: Segments) -> str:
        """Return the application of a path: the third of the four steps; "" for an empty path."""
        for count in range(min(len(path), self._longest), 0, -1):
            beginning = path[:count]
            if beginning in self._named or any(_fits(beginning, glob) for glob in self._globs):
                return "/".join(beginning)
        return path[0] if path else ""

    def may_serve(self, path: Segments) -> bool:
        """Return whether there can be a stream that is served below ``path``, which is what connect names."""
        if self.serves(self.app_of(path)):
            return True
        longer = [name for name in self._named if self.serves("/".join(name))] + list(self._globs)
        return any(len(known) > len(path) and _fits(path, known[: len(path)]) for known in longer)

    def identify(self, path: Sequence[str], query: str = "") -> StreamId:
        """Return the stream of a whole path; ``query`` is what followed the name of publish or play.

        Raises InvalidStreamKey if the path holds no name, or one that cannot be part of a key.
        """
        return self._identify(tuple(path), bool(query))

    def _find(self, path: Segments, has_query: bool) -> StreamId:
        app = self.app_of(path)
        name = "/".join(path[app.count("/") + 1 :]) if app else ""
        if not name and has_query and app:
            name = QUERY_ONLY
        if not name:
            raise InvalidStreamKey(
                f"the stream name is missing after the application {app or '(none)'}: it is the last part of "
                f"rtmp://HOST/{app or 'APPLICATION'}/NAME, and the stream key in OBS"
            )
        if not is_clean(app, name):
            raise InvalidStreamKey(
                f"a stream name has to be UTF-8 without control characters and at most {NAME_BYTES} bytes long"
            )
        return StreamId(app, name)

    def identify_again(self, stream: StreamId) -> StreamId:
        """Return what a stream that other settings identified is by these; the same if its key names none any more."""
        try:
            return self.identify(segments(stream.key))
        except InvalidStreamKey:
            return stream


def _fits(path: Segments, glob: Segments) -> bool:
    return len(path) == len(glob) and all(map(fnmatchcase, path, glob))
