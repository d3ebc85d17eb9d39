"""The process around the daemon: detach, pid file, limits, user; then the daemon itself.

All of it comes before the event loop, a thread or a socket exists, in this order: fork, because greenlets and threads
do not survive it well; pid file and limits, which may need root; the user, because everything after
this must be as it stays for the rest of the daemon's life.
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
    """Run ``body`` as ``settings`` have it; its result, or why it could not begin, is the exit status. Root makes the
    ``run_directory``, if there is one, for the user that it becomes.

    In the background the starting process returns from here too, with the status that the daemon reported to it. A
    daemon that was stopped before it served ends with 0, but its starting process with 143. Exit statuses of its own:
    67 no such user, 71 an error of the system, 73 the pid file cannot be written, 75 another rtmpd runs, 77 a user that
    we may not become. May switch greenlets if ``body`` does.
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
            shell.tell(status or _STOPPED_EARLY)  # does nothing if it is ready, and so was reported already
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
    """Do what the init script and systemd do for the service. A directory of another user is left alone: making the
    control socket there reports it. Raises OSError."""
    with contextlib.suppress(FileExistsError, FileNotFoundError, PermissionError):  # no /run, or one that is read-only
        os.mkdir(path, 0o755)
    if wanted is not None and os.path.isdir(path) and os.stat(path).st_uid == 0:
        os.chown(path, wanted.uid, wanted.gid)


def _name_process() -> None:
    """What ``ps``, ``pgrep`` and ``start-stop-daemon --name`` go by; without it that is the interpreter's."""
    if os.path.exists("/proc/self/comm"):
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write(PROCESS_NAME)


def hide(secrets: Collection[str]) -> None:
    """Write stars over these words of the command line, or what follows their =, where the system shows it (``ps``,
    /proc): every user can read that. Does nothing where the system does not say where it is."""
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
