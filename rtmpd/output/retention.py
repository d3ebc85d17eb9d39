"""Old recordings are deleted: by age, by the size of all together, and for the free space of their disk.

Only files that a template of ``record_path`` could have named are recordings; everything else in the directory is left
alone, and so is what is being written, by whichever process. Of two applications whose templates name the same file
the first one in the list keeps it. Everything here blocks, and is for a thread.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..settings.output import OutputSettings
from .media_file import PART, open_locked
from .mp4_file import SUFFIX, playlist_path
from .path import pattern

AGE: Final = "age"
SIZE: Final = "size"
FREE: Final = "free"


class Deleted(NamedTuple):
    """A recording was deleted by a rule: ``AGE``, ``SIZE`` or ``FREE``."""

    path: str
    size: int
    age_s: float
    rule: str


@dataclass(slots=True)
class _Found:
    path: str
    size: int
    ended_at: float


def sweep(apps: Sequence[tuple[str, OutputSettings]], now: float) -> list[Deleted | OSError]:
    """Delete what the settings of applications do not keep at the Unix time ``now``. The name of an application is
    "" for the one that stands for all others. An OSError for each file that cannot be deleted."""
    gone: list[Deleted | OSError] = []
    if not any(keeps_less(settings) for _, settings in apps):
        return gone
    claimed: set[str] = set()
    for name, settings in apps:
        found = [one for one in _recordings(name, settings) if one.path not in claimed]
        claimed.update(one.path for one in found)
        if keeps_less(settings):
            gone += _sweep(settings, sorted(found, key=lambda one: one.ended_at), now)
    return gone


def keeps_less(settings: OutputSettings) -> bool:
    """Whether there is a rule by which recordings are deleted."""
    return bool(settings.record_keep_s or settings.record_keep_bytes or settings.record_keep_free_percent)


def _sweep(settings: OutputSettings, oldest_first: list[_Found], now: float) -> Iterator[Deleted | OSError]:
    total = sum(one.size for one in oldest_first)
    for one in oldest_first:
        age_s = max(now - one.ended_at, 0.0)
        if settings.record_keep_s and age_s > settings.record_keep_s:
            rule = AGE
        elif settings.record_keep_bytes and total > settings.record_keep_bytes:
            rule = SIZE
        elif settings.record_keep_free_percent and _free_percent(one.path) < settings.record_keep_free_percent:
            rule = FREE
        else:
            return  # whatever is younger is kept too
        try:
            if _delete(one.path):
                total -= one.size
                yield Deleted(one.path, one.size, age_s, rule)
        except OSError as error:
            yield error


def _recordings(name: str, settings: OutputSettings) -> Iterator[_Found]:
    names = re.compile(pattern(settings.record_path, name))
    base = settings.record_dir
    for directory, _, files in os.walk(base):
        for file in files:
            path = os.path.join(directory, file)
            if file.endswith(PART) or not names.fullmatch(os.path.relpath(path, base)):
                continue
            try:
                facts = os.stat(path, follow_symlinks=False)
            except FileNotFoundError:
                continue  # somebody else deleted it just now
            yield _Found(path, facts.st_size, facts.st_mtime)


def _free_percent(path: str) -> float:
    disk = os.statvfs(os.path.dirname(path))
    return 100 * disk.f_bavail / disk.f_blocks if disk.f_blocks else 100.0


def _delete(path: str) -> bool:
    """Delete a recording and the playlist of an MP4; false if it is being written, or gone."""
    try:
        file = open_locked(path, os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return False
        raise
    if file is None:
        return False
    with file:
        os.unlink(path)
    if path.endswith(SUFFIX) and os.path.exists(playlist_path(path)):
        os.unlink(playlist_path(path))
    return True
