"""Prepares the process (detach, pid file, limits, user) and then runs the daemon.

All of this happens before there is an event loop, a thread or a socket, in this order: fork, because greenlets and
threads do not survive a fork well; pid file and limits, which may need root; then the change of user, so that
everything later runs with the daemon's final permissions.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable

from ..errors import StartError
from ..settings.daemon import DaemonSettings
from . import privileges, signals
from .detach import Shell, detach
from .pidfile import PidFile
from .service import Service

PROCESS_NAME = "rtmpd"
_ARG_START, _ARG_END = 48 - 3, 49 - 3  # fields of /proc/PID/stat (proc(5)), counted from the third
_STOPPED_EARLY = 128 + signal.SIGTERM


def run(settings: DaemonSettings, body: Callable[[Service], int], run_directory: str = "") -> int:
    """Prepare the process as ``settings`` require, run ``body`` and return the exit status. Root creates the
    ``run_directory``, if given, for the user that it becomes.

    In the background this also returns in the starting process, with the status that the daemon reported. If the daemon
    is stopped before it serves, it exits with 0 and its starting process with 143. Further statuses: 67 unknown user,
    71 system error, 73 the pid file cannot be written, 75 another rtmpd is running, 77 we may not become the user. May
    switch if ``body`` does.
    """
    shell: Shell | None = None
    if settings.background:
        detached = detach()
        if isinstance(detached, int):
            return detached
        shell = detached
    status = os.EX_SOFTWARE
    try:
        status = _run(settings, Service(shell), body, run_directory)
    finally:
        if shell is not None:
            shell.tell(status or _STOPPED_EARLY)  # does nothing after ``ready`` was reported
    return status


def _run(settings: DaemonSettings, service: Service, body: Callable[[Service], int], run_directory: str) -> int:
    pid_file = PidFile(settings.pid_file) if settings.pid_file else None
    signals.hold()
    try:
        _prepare(settings, pid_file, run_directory)
        return body(service)
    except StartError as error:
        print(f"rtmpd: {error}", file=sys.stderr)
        return error.status
    finally:
        if pid_file is not None:
            pid_file.release()


def _prepare(settings: DaemonSettings, pid_file: PidFile | None, run_directory: str) -> None:
    wanted = privileges.identity(settings.user, settings.group)
    if settings.umask is not None:
        os.umask(settings.umask)
    if pid_file is not None:
        pid_file.take()
    try:
        _name_process()
        privileges.limit(settings)
        if run_directory and os.geteuid() == 0:
            _make_run_directory(run_directory, wanted)
        if wanted is not None:
            privileges.become(wanted)
        privileges.keep_core_dumps(settings)
        if settings.working_directory:
            os.chdir(settings.working_directory)
    except OSError as error:
        raise StartError(f"{error.filename or 'process'}: {error.strerror}", os.EX_OSERR) from None


def _make_run_directory(path: str, wanted: privileges.Identity | None) -> None:
    """Create the directory as the init script and systemd do. A directory of another user is left alone; creating the
    control socket there will report it. Raises OSError."""
    with contextlib.suppress(FileExistsError, FileNotFoundError, PermissionError):  # no /run, or one that is read-only
        os.mkdir(path, 0o755)
    if wanted is not None and os.path.isdir(path) and os.stat(path).st_uid == 0:
        os.chown(path, wanted.uid, wanted.gid)


def _name_process() -> None:
    """Set the name for ``ps``, ``pgrep`` and ``start-stop-daemon --name``; it would be the interpreter's otherwise."""
    if os.path.exists("/proc/self/comm"):
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write(PROCESS_NAME)


def hide(secrets: Collection[str]) -> None:
    """Overwrite these words of the command line, or their part after =, with stars, because every user can read it
    (``ps``, /proc). Does nothing if the system does not reveal where the command line is."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            words = file.read()
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if not start or end - start != len(words):
        return
    hidden = b"\0".join(_hidden(word, [os.fsencode(secret) for secret in secrets]) for word in words.split(b"\0"))
    if hidden != words:
        ctypes.memmove(start, hidden, len(hidden))


def _hidden(word: bytes, secrets: Iterable[bytes]) -> bytes:
    for secret in secrets:
        if secret and (word == secret or word.endswith(b"=" + secret)):
            return word[: len(word) - len(secret)] + b"*" * len(secret)
    return word
