"""The pid file: contains the daemon's process id and prevents a second daemon from starting.

Only the lock counts, not the number in the file. The kernel releases the lock with the process, so the file of a dead
process is taken over, even if another process has its number now.
"""

from __future__ import annotations

import fcntl
import os

from ..errors import StartError

_MODE = 0o644
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class PidFile:
    """``take`` after the last fork, ``release`` once at the end."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1

    def take(self) -> None:
        """Write our process id. Raises StartError: status 75 if another rtmpd holds the file, 73 if it cannot be
        written."""
        while self._descriptor < 0:
            descriptor = self._opened()
            if self._is_at_path(descriptor):
                self._descriptor = descriptor
            else:
                os.close(descriptor)  # its owner removed it between our open and our lock
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Remove the file. If we may no longer write to its directory, empty the file, which means the same."""
        if self._descriptor < 0:
            return
        try:
            os.unlink(self.path)
        except OSError:
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = -1

    def _opened(self) -> int:
        try:
            descriptor = os.open(self.path, _FLAGS, _MODE)
        except OSError as error:
            raise StartError(f"pid file {self.path}: {error.strerror}", os.EX_CANTCREAT) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(descriptor, _MODE)  # independent of the umask: others may read it
        except BlockingIOError:
            pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StartError(
                f"rtmpd is already running, as process {pid or 'not known yet'} (pid file {self.path})", os.EX_TEMPFAIL
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise StartError(f"pid file {self.path}: {error.strerror}", os.EX_CANTCREAT) from None
        return descriptor

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False
