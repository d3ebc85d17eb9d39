"""[daemon]: what only the system can tell of its values."""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable

from ..settings.daemon import DaemonSettings
from .check import Checked

_RTMP_URL = re.compile(r"rtmps?://[^/\s]+/\S+", re.IGNORECASE)


def of_section(checked: Checked) -> DaemonSettings:
    """The settings of [daemon]; problems go to ``checked``. Looks for users, groups and directories."""
    settings = DaemonSettings(**checked.fields("daemon"))
    _check_known(checked, "user", settings.user, pwd.getpwnam)
    _check_known(checked, "group", settings.group, grp.getgrnam)
    directory = settings.working_directory
    if directory and not os.path.isdir(directory):
        checked.problem(("daemon", "working_directory"), f"{directory} is not a directory", "make it")
    missing = os.path.dirname(settings.pid_file)
    if missing and not os.path.isdir(missing):
        checked.problem(("daemon", "pid_file"), f"{missing} is not a directory", "make it, or name another file")
    if settings.background and not checked.value("log", "file"):
        text = "without a [log] file there is no log, unless standard error is a file"
        checked.warning(("daemon", "background"), text, "name one")
    return settings


def check_reconnect_url(checked: Checked) -> None:
    """A URL that clients can not use is worse than none."""
    url: str = checked.value("server", "reconnect_url")
    if url and not _RTMP_URL.fullmatch(url):
        checked.problem(("server", "reconnect_url"), "is no RTMP URL", "write rtmp://host/application")


def _check_known(checked: Checked, key: str, name: str, find: Callable[[str], object]) -> None:
    if not name:
        return
    try:
        find(name)
    except KeyError:
        checked.problem(("daemon", key), f"there is no {key} {name} on this system", "create it, or name another one")
