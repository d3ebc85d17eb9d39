"""The path of the event log."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from ..settings import GUARANTEE_NONE, HookSettings, StoreSettings
from .check import Checked

_FILE = "events.db"
_SYSTEM = "/var/lib/rtmpd"


def store_of(checked: Checked, hooks: Iterable[HookSettings]) -> StoreSettings:
    """The section; where a hook needs the log the file has a name then, and its directory exists or is a problem."""
    store = StoreSettings(**checked.fields("store"))
    if all(hook.delivery.guarantee_level == GUARANTEE_NONE for hook in hooks):
        return store
    path = store.path or _usual_path()
    directory = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(directory):
        checked.problem(("store", "path"), f"{directory} is not a directory", "make it, or name another file")
    elif not os.access(path if os.path.exists(path) else directory, os.W_OK):
        checked.problem(("store", "path"), f"{path} cannot be written", "name a file that rtmpd may write")
    return replace(store, path=path)


def _usual_path() -> str:
    """That of the service's own directory if there is one, else the user's, which is made."""
    for directory in (os.environ.get("STATE_DIRECTORY", "").split(":")[0], _SYSTEM):
        if directory and os.access(directory, os.W_OK):
            return os.path.join(directory, _FILE)
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    directory = os.path.join(home, "rtmpd")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return os.path.join(directory, _FILE)
