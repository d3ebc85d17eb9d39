"""What is made of streams besides playing them: recordings, and copies to other servers."""

from __future__ import annotations

from dataclasses import dataclass, field

RECORD_OFF = "off"
RECORD_ALL = "all"
RECORD_AUDIO = "audio"
RECORD_VIDEO = "video"
RECORD_KEYFRAMES = "keyframes"

FORMAT_FLV = "flv"
FORMAT_MP4 = "mp4"

EXISTING_UNIQUE = "unique"
EXISTING_APPEND = "append"
EXISTING_REPLACE = "replace"

#: What a template of a path may name, and that of a destination.
PATH_FIELDS = ("app", "name", "time", "segment", "session")
DESTINATION_FIELDS = ("app", "name")


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """The part of an application's settings that is about outputs.

    ``record`` is a ``RECORD_*`` word, ``record_format`` a ``FORMAT_*`` word, ``record_existing`` an ``EXISTING_*``
    word. ``record_fragment_s`` is how long a fragment of an MP4 is at most. ``record_path`` is a template of
    ``PATH_FIELDS`` below ``record_dir``. A segment ends at the first keyframe after ``segment_duration_s`` or
    ``segment_bytes``; 0 for either: never. ``record_max_bytes`` is for a whole recording, 0: no limit;
    ``record_queue_bytes`` is what may wait for the disk. ``record_keep_s``, ``record_keep_bytes`` and
    ``record_keep_free_percent`` are the age, the size of all and the free space that recordings are kept within, 0: not
    to look. ``push`` are templates of URLs, ``push_retry_s`` is the first
    pause before another try, ``push_retry_max_s`` the longest.

    ``pull`` are such templates of sources, in the order in which they are tried; a pull ends after ``pull_idle_s``
    without a viewer.
    """

    record: str = RECORD_OFF
    record_format: str = FORMAT_FLV
    record_fragment_s: float = 1.0
    record_dir: str = ""
    record_path: str = "{app}/{name}-{time:%Y%m%d-%H%M%S}.flv"
    record_existing: str = EXISTING_UNIQUE
    record_part: bool = True
    segment_duration_s: float = 0.0
    segment_bytes: int = 0
    record_max_bytes: int = 0
    record_min_free_bytes: int = 256 * 1024 * 1024
    record_queue_bytes: int = 16 * 1024 * 1024
    record_keep_s: float = 0.0
    record_keep_bytes: int = 0
    record_keep_free_percent: int = 0
    push: tuple[str, ...] = field(default=(), repr=False)
    push_verify: bool = True
    push_retry_s: float = 1.0
    push_retry_max_s: float = 30.0
    pull: tuple[str, ...] = field(default=(), repr=False)
    pull_idle_s: float = 10.0

    @property
    def segmented(self) -> bool:
        """Whether a recording is cut into several files."""
        return bool(self.segment_duration_s or self.segment_bytes)
