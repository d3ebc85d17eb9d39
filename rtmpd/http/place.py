"""Where the control socket is, for the daemon that makes it and for ``rtmpctl`` that looks for it.

The usual place belongs to the service: ``/run/rtmpd`` is made by its init script or unit. A daemon that somebody
runs by hand can not write there and takes the user's own runtime directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

#: The default of ``settings.http.ApiSettings.socket``, written again: rtmpctl starts without the settings.
CONTROL_SOCKET = "/run/rtmpd/control.sock"

_OWN = "rtmpd.sock"


def candidates(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The places of a control socket that nobody has named, the service's first."""
    own = environ.get("XDG_RUNTIME_DIR", "")
    return [CONTROL_SOCKET, *([os.path.join(own, _OWN)] if os.path.isabs(own) else [])]


def usable(path: str, environ: Mapping[str, str] = os.environ) -> str:
    """Where to make the socket: ``path``, but for the usual one the first place that can be written; "" if none."""
    if path != CONTROL_SOCKET:
        return path
    for candidate in candidates(environ):
        if os.access(os.path.dirname(candidate), os.W_OK | os.X_OK):
            return candidate
    return ""


def existing(environ: Mapping[str, str] = os.environ) -> str:
    """The first place where there is something; the usual one if there is nothing."""
    return next((path for path in candidates(environ) if os.path.exists(path)), CONTROL_SOCKET)
