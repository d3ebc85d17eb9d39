"""Where the control socket is, for the daemon that makes it and for ``rtmpctl`` that looks for it.

The usual place belongs to the service: ``/run/rtmpd`` is made by its init script or unit, or by a daemon that root
starts. A daemon that another user runs by hand cannot write there and takes the user's own runtime directory, or where
that is missing, as after ``su``, a state directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

#: The default of ``settings.http.ApiSettings.socket``, written again: rtmpctl starts without the settings.
CONTROL_SOCKET = "/run/rtmpd/control.sock"

_STATE = "/var/lib/rtmpd"
_OWN_STATE = ".local/state/rtmpd"


def candidates(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the paths where a control socket may be without a configured path, the service's first."""
    runtime, home = environ.get("XDG_RUNTIME_DIR", ""), environ.get("HOME", "")
    return [
        CONTROL_SOCKET,
        *([os.path.join(runtime, "rtmpd.sock")] if os.path.isabs(runtime) else []),
        os.path.join(_STATE, "control.sock"),
        *([os.path.join(home, _OWN_STATE, "control.sock")] if os.path.isabs(home) else []),
    ]


def usable(path: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return where to create the socket: ``path`` or, for the default, the first writable place, or "".
    The user's state directory is created if needed."""
    if path != CONTROL_SOCKET:
        return path
    home = environ.get("HOME", "")
    for candidate in candidates(environ):
        directory = os.path.dirname(candidate)
        if os.path.isabs(home) and directory == os.path.join(home, _OWN_STATE) and os.access(home, os.W_OK | os.X_OK):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        if os.access(directory, os.W_OK | os.X_OK):
            return candidate
    return ""


def existing(environ: Mapping[str, str] = os.environ) -> str:
    """Return the first place with a socket, else the default one."""
    return next((path for path in candidates(environ) if os.path.exists(path)), CONTROL_SOCKET)


def running() -> list[int]:
    """Return the ids of the processes called rtmpd; none without /proc."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/comm", encoding="utf-8", errors="replace") as comm:
                    if comm.read() == "rtmpd\n":
                        found.append(int(name))
            except OSError:
                continue  # it has ended meanwhile
    return sorted(found)
