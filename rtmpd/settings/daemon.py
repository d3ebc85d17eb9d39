"""The process: how it detaches, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass

CORE_AS_IS = "as-is"
CORE_NO = "no"
CORE_YES = "yes"


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """``background`` leaves the terminal. ``pid_file`` "": no file; ``user``, ``group`` and ``working_directory`` "",
    and ``umask`` None, keep what there is. ``open_files`` is what the limit on descriptors is raised to, as far as the
    system lets us; 0 leaves it. ``core_dumps`` is a ``CORE_*`` word."""

    background: bool = False
    pid_file: str = ""
    user: str = ""
    group: str = ""
    umask: int | None = None
    working_directory: str = ""
    open_files: int = 65536
    core_dumps: str = CORE_AS_IS
