"""Detaches from the terminal, with a pipe back to the waiting shell.

The starting process exits with status 0 when the daemon serves, or with the daemon's status when the start failed. So
``rtmpd --daemon && echo up`` works.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys

from gevent import monkey

# The originals: gevent's create an event loop, but the daemon has to create its own after the fork.
_fork = monkey.get_original("os", "fork")
_waitpid = monkey.get_original("os", "waitpid")
_PID_BYTES = 8
_ENDING = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


class Shell:
    """The starting process, as seen by the daemon. The daemon's end of the pipe closes when the daemon ends."""

    __slots__ = ("_pipe",)

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def tell(self, status: int) -> None:
        """End the starting process with ``status``; only the first call counts. Afterwards standard output and standard
        error are discarded unless they are files."""
        if self._pipe < 0:
            return
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                _to_null(stream.fileno(), os.O_WRONLY)
        try:
            os.write(self._pipe, bytes([status]))
        except BrokenPipeError:  # the starting process did not wait
            status = 0
        os.close(self._pipe)
        self._pipe = -1


def detach() -> Shell | int:
    """Fork twice. Returns the Shell in the daemon and, after the daemon has reported, the exit status in the starting
    process. A terminating signal to the starting process, such as Ctrl-C, is passed on to the daemon.

    Call it before there is an event loop, a thread or a socket.
    """
    reader, writer = os.pipe()
    # Until the daemon exists, the kernel holds signals that have to be passed on.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    child = _fork()
    if child:
        os.close(writer)
        _waitpid(child, 0)
        status = _wait_for(reader, held)
        os.close(reader)
        return status
    os.close(reader)
    os.setsid()
    if _fork():  # a session leader could get a terminal again
        os._exit(os.EX_OK)
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    os.write(writer, os.getpid().to_bytes(_PID_BYTES, "big"))
    _close_what_is_not_ours()
    _to_null(0, os.O_RDONLY)
    return Shell(writer)


def _wait_for(reader: int, mask: set[int | signal.Signals]) -> int:
    """Return the status that the daemon reports. Runs in the starting process, with the signals of ``_ENDING`` blocked.
    ``mask`` are the signals to block from here on."""
    pid = int.from_bytes(os.read(reader, _PID_BYTES), "big")

    def pass_on(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended, and its status is in the pipe
            os.kill(pid, signal.SIGTERM)

    for number in _ENDING:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    reported = os.read(reader, 1)  # goes on after a signal
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)  # too late: only the exit is left
    return reported[0] if reported else os.EX_SOFTWARE


def _close_what_is_not_ours() -> None:
    """Close inherited descriptors, which would keep a pipe or a terminal open. Python's own are not inheritable."""
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        descriptor = int(name)
        try:
            if descriptor > 2 and os.get_inheritable(descriptor):
                os.close(descriptor)
        except OSError:
            continue  # the one that listed them is closed already


def _to_null(descriptor: int, mode: int) -> None:
    null = os.open(os.devnull, mode)
    os.dup2(null, descriptor)
    os.close(null)
