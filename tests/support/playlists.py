"""A checker of media playlists: the MUST rules of RFC 8216 (and of its second edition, for live playlists) that a
server of live streams can break, over all the playlists that one client has got."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,"]+)')


@dataclass
class Segment:
    uri: str
    duration_s: float
    discontinuity: bool
    map: str
    at: float


@dataclass
class Playlist:
    version: int = 1
    target_s: int = -1
    sequence: int = 0
    discontinuities: int = 0
    independent: bool = False
    is_over: bool = False
    segments: list[Segment] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def parsed(text: str) -> Playlist:
    """The playlist; what is wrong with it by itself is in ``faults``."""
    found = Playlist()
    lines = text.split("\n")
    if lines[0] != "#EXTM3U":
        found.faults.append("4.3.1.1: the first line is not #EXTM3U")
    if lines[-1] != "" or "\r" in text or text.startswith("\ufeff"):
        found.faults.append("4.1: lines end with a newline, and there is no byte order mark")
    tags: list[str] = []
    duration_s: float | None = None
    discontinuity = False
    map_uri = ""
    at: float | None = None
    for line in lines[1:-1]:
        name, _, value = line.partition(":")
        if name.startswith("#") and not name.startswith("#EXT"):
            continue
        if not line:
            found.faults.append("there is an empty line")
        elif name == "#EXTINF":
            seconds, _, _ = value.partition(",")
            duration_s = float(seconds)
            if not re.fullmatch(r"\d+\.\d+", seconds):
                found.faults.append(f"4.3.2.1: {line}")
        elif name == "#EXT-X-DISCONTINUITY":
            discontinuity = True
        elif name == "#EXT-X-MAP":
            map_uri = dict(_ATTRIBUTE.findall(value))["URI"].strip('"')
        elif name == "#EXT-X-PROGRAM-DATE-TIME":
            at = datetime.fromisoformat(value).timestamp()
        elif not line.startswith("#"):
            if duration_s is None:
                found.faults.append(f"4.3.2.1: {line} has no EXTINF")
            if not map_uri:
                found.faults.append(f"4.3.2.5: {line} is fMP4 without EXT-X-MAP")
            found.segments.append(Segment(line, duration_s or 0.0, discontinuity, map_uri, at or 0.0))
            duration_s, discontinuity, at = None, False, None
        else:
            if name in tags:
                found.faults.append(f"4.3.3: {name} stands twice")
            tags.append(name)
            _header(found, name, value)
    found.faults += [f"4.3.3: {name} is missing" for name in ("#EXT-X-TARGETDURATION",) if name not in tags]
    if map_uri and found.version < 6:
        found.faults.append("7: EXT-X-MAP needs version 6")
    for segment in found.segments:
        if int(segment.duration_s + 0.5) > found.target_s:
            found.faults.append(f"4.3.3.1: {segment.uri} is longer than the target duration")
        if segment.duration_s <= 0:
            found.faults.append(f"{segment.uri} has no duration")
    if len({segment.uri for segment in found.segments}) < len(found.segments):
        found.faults.append("a segment stands twice")
    return found


def _header(found: Playlist, name: str, value: str) -> None:
    if found.segments and name in ("#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE"):
        found.faults.append(f"4.3.3: {name} comes after a segment")
    if name == "#EXT-X-VERSION":
        found.version = int(value)
    elif name == "#EXT-X-TARGETDURATION":
        found.target_s = int(value)
    elif name == "#EXT-X-MEDIA-SEQUENCE":
        found.sequence = int(value)
    elif name == "#EXT-X-DISCONTINUITY-SEQUENCE":
        found.discontinuities = int(value)
    elif name == "#EXT-X-INDEPENDENT-SEGMENTS":
        found.independent = True
    elif name == "#EXT-X-ENDLIST":
        found.is_over = True
    else:
        found.faults.append(f"{name} is not known to this checker")


class Watch:
    """A client that loads a playlist over and over. ``may_grow``: the target duration may be raised, which the standard
    does not allow and a stream can force."""

    def __init__(self) -> None:
        self.playlists: list[Playlist] = []
        self.may_grow = False
        self.seen: dict[int, tuple[str, float, int]] = {}
        self.found: list[str] = []

    def look(self, text: str) -> None:
        """Compare with what was seen before (RFC 8216, 6.2.1 and 6.2.2)."""
        now = parsed(text)
        self.found += now.faults
        if self.playlists:
            self._compare(self.playlists[-1], now)
        discontinuity = now.discontinuities
        for number, segment in enumerate(now.segments, now.sequence):
            discontinuity += segment.discontinuity
            known = self.seen.setdefault(number, (segment.uri, segment.duration_s, discontinuity))
            if known != (segment.uri, segment.duration_s, discontinuity):
                self.found.append(f"6.2.1: segment {number} was {known}, is {segment} of {discontinuity}")
        self.playlists.append(now)

    def _compare(self, before: Playlist, now: Playlist) -> None:
        if now.sequence < before.sequence:
            self.found.append(f"6.2.1: the media sequence goes back from {before.sequence} to {now.sequence}")
        if now.discontinuities < before.discontinuities:
            self.found.append("6.2.2: the discontinuity sequence goes back")
        if now.target_s != before.target_s and not self.may_grow:
            self.found.append(f"6.2.1: the target duration changes from {before.target_s} to {now.target_s}")
        last = before.sequence + len(before.segments)
        if now.sequence + len(now.segments) < last:
            self.found.append("6.2.1: segments have gone from the end")
        if before.is_over and now.segments != before.segments:
            self.found.append("6.2.1: the playlist goes on after its end")
        removed = now.sequence - before.sequence
        kept_s = sum(segment.duration_s for segment in now.segments)
        if removed and not now.is_over and kept_s < 3 * now.target_s - 0.01:
            self.found.append(f"6.2.2: {kept_s:g} s are left of three target durations")


def faults(watch: Watch) -> list[str]:
    """Everything wrong with the playlists that a client has got."""
    return watch.found
