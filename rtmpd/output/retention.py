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

from ..settings.output import FORMAT_MP4, OutputSettings
from .media_file import PART, open_locked
from .mp4_file import SUFFIX, playlist_path
from .path import pattern, safe

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
    identity: tuple[int, int]  # device and inode: a directory may have two names


class _Disks:
    """The free room of each disk, looked at once and then counted: some file systems free what was deleted only later,
    and must not lose everything meanwhile."""

    def __init__(self) -> None:
        self._disks: dict[int, list[int]] = {}  # by device: bytes that are free, and all

    def free_percent(self, one: _Found) -> float:
        """Raises OSError."""
        device = one.identity[0]
        if device not in self._disks:
            disk = os.statvfs(os.path.dirname(one.path))
            self._disks[device] = [disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize]
        free, size = self._disks[device]
        return 100 * free / size if size else 100.0

    def freed(self, one: _Found) -> None:
        if one.identity[0] in self._disks:
            self._disks[one.identity[0]][0] += one.size


def sweep(apps: Sequence[tuple[str, OutputSettings]], now: float) -> list[Deleted | OSError]:
    """Delete what the settings of applications do not keep at the Unix time ``now``. The name of an application is
    "" for the one that stands for all others, and comes last. What an application of the list has recorded, or may have
    recorded, is none of the others' business, also if it does not record now. An OSError for each file that cannot be
    deleted."""
    gone: list[Deleted | OSError] = []
    if not any(keeps_less(settings) for _, settings in apps):
        return gone
    disks, claimed = _Disks(), set[tuple[int, int]]()
    named = frozenset(safe(name) for name, _ in apps if name)
    for name, settings in apps:
        others = frozenset[str]() if name else named
        found = [one for one in _recordings(name, settings, others) if one.identity not in claimed]
        claimed.update(one.identity for one in found)
        if keeps_less(settings):
            gone += _sweep(settings, sorted(found, key=lambda one: one.ended_at), disks, now)
    return gone


def keeps_less(settings: OutputSettings) -> bool:
    """Whether there is a rule by which recordings are deleted."""
    return bool(settings.record_keep_s or settings.record_keep_bytes or settings.record_keep_free_percent)


def _sweep(
    settings: OutputSettings, oldest_first: list[_Found], disks: _Disks, now: float
) -> Iterator[Deleted | OSError]:
    total = sum(one.size for one in oldest_first)
    for one in oldest_first:
        age_s = max(now - one.ended_at, 0.0)
        try:
            rule = _rule(settings, one, age_s, total, disks)
            if not rule:
                return  # whatever is younger is kept too
            was_deleted = _delete(one.path)
        except OSError as error:
            yield error
            continue
        if was_deleted:
            total -= one.size
            disks.freed(one)
            yield Deleted(one.path, one.size, age_s, rule)


def _rule(settings: OutputSettings, one: _Found, age_s: float, total: int, disks: _Disks) -> str:
    """The rule by which a recording is not kept, "" if it is. Raises OSError."""
    if settings.record_keep_s and age_s > settings.record_keep_s:
        return AGE
    if settings.record_keep_bytes and total > settings.record_keep_bytes:
        return SIZE
    if settings.record_keep_free_percent and disks.free_percent(one) < settings.record_keep_free_percent:
        return FREE
    return ""


def _recordings(name: str, settings: OutputSettings, others: frozenset[str]) -> Iterator[_Found]:
    """Yield what the template of an application may have named, but for what names one of ``others`` as its own."""
    names = re.compile(pattern(settings.record_path, name, settings.record_format == FORMAT_MP4))
    base = settings.record_dir
    for directory, _, files in os.walk(base):
        for file in files:
            path = os.path.join(directory, file)
            named = None if file.endswith(PART) else names.fullmatch(os.path.relpath(path, base))
            if named is None or named.groupdict().get("app") in others:
                continue
            try:
                facts = os.stat(path, follow_symlinks=False)
            except OSError:
                continue  # somebody else deleted it just now, or it is not for us
            yield _Found(path, facts.st_size, facts.st_mtime, (facts.st_dev, facts.st_ino))


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
