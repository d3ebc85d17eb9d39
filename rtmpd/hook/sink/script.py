"""Runs a script for each event: the environment has the event, the exit status is the answer.

===============  ===================================================================
exit status      meaning
===============  ===================================================================
0                delivered
75               EX_TEMPFAIL: worth another try
any other        failed for good
a signal         worth another try
===============  ===================================================================

The environment is the event (``Event.as_env``) plus PATH, HOME, LANG and TZ, and nothing else of the daemon's.
stdin is /dev/null, not the event: ffmpeg and ssh read whatever stdin holds, and the ``q`` in some
stream's name would end somebody's transcoder.
"""

from __future__ import annotations

import errno
import os

from ...clock import Clock
from ...errors import DeliveryError, PermanentDeliveryError, TransientDeliveryError
from ...event.event import Event
from ...textfile import fault_of_script
from ..child import Child, base_env

_BASH = "/bin/bash"
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh"})
_ELF = b"\x7fELF"
_HEAD_BYTES = 256
_SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


class ScriptHook:
    """Runs ``path``: with bash, or by itself if it is an executable that is not a shell script."""

    type = "shell"

    def __init__(self, id: str, path: str, clock: Clock) -> None:
        self.id = id
        self._path = path
        self._clock = clock
        self._base_env = base_env()

    def execute(self, event: Event, deadline: float) -> None:
        """Run the script to its end, or end it and all its children at the deadline (a little later
        if they resist). What it leaves in the background after a normal exit lives on.
        Raises Transient- and PermanentDeliveryError. May switch greenlets."""
        child = self._start(event)
        try:
            _judge(child, _in_time(child, deadline - self._clock.monotonic()))
        finally:
            child.errors.forget()

    def preview(self, event: Event) -> dict[str, object]:
        """What would be run for the event, and with which environment."""
        return {"command": command_of(self._path), "environment": {**self._base_env, **event.as_env()}}

    def _start(self, event: Event) -> Child:
        try:
            return Child(command_of(self._path), {**self._base_env, **event.as_env()})
        except OSError as error:
            raise start_error(error, self._path) from error

    def close(self) -> None:
        """Nothing is held between executions."""


def start_error(error: OSError, path: str) -> DeliveryError:
    """Why the program ``path`` did not start; what the system is short of now it may have later."""
    family = TransientDeliveryError if error.errno in _SHORTAGES else PermanentDeliveryError
    detail = fault_of_script(path) or error.strerror
    return family(f"cannot be started: {detail}", errno.errorcode.get(error.errno or 0, "spawn"))


def command_of(path: str) -> list[str]:
    """How to run the file: ``/bin/bash path``, unless it can and wants to run by itself.

    A file that is not there or cannot be read is left to bash, which says so in words.
    Raises OSError if it vanishes meanwhile.
    """
    if not os.path.isfile(path) or not os.access(path, os.R_OK | os.X_OK):
        return [_BASH, path]
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    own = head.startswith(_ELF) or _interpreter(head) not in _SHELLS
    return [os.path.abspath(path)] if own else [_BASH, path]


def _interpreter(head: bytes) -> str:
    """The interpreter's name in a ``#!`` line, looking through env(1); no line counts as bash."""
    first_line = head.partition(b"\n")[0].decode("utf-8", "replace")
    words = first_line[2:].split() if first_line.startswith("#!") else []
    names = [os.path.basename(word) for word in words if not word.startswith("-") and "=" not in word]
    if names and names[0] == "env":
        del names[0]
    return names[0] if names else "bash"


def _in_time(child: Child, timeout_s: float) -> bool:
    """Wait for the child, and end it with all its children when the time is over."""
    try:
        if child.wait(timeout_s):
            return True
    except BaseException:  # our greenlet is being killed, and only it knows of the child
        child.kill()
        raise
    child.end()
    return False


def _judge(child: Child, in_time: bool) -> None:
    """Turn the child's end into the answer."""
    last_line = child.errors.last_line()
    detail = f": {last_line}" if last_line else ""
    status = child.returncode
    if not in_time:
        raise TransientDeliveryError(f"timed out, script and children ended{detail}", "timeout")
    if status == 0:
        return
    assert status is not None  # it has ended
    if status < 0:
        raise TransientDeliveryError(f"ended by signal {-status}{detail}", f"signal:{-status}")
    if status == os.EX_TEMPFAIL:
        raise TransientDeliveryError(f"exit status {status}{detail}", f"exit:{status}")
    raise PermanentDeliveryError(f"exit status {status}{detail}", f"exit:{status}")
