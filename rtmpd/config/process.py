"""Checks that need the system: [daemon], and certificates."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Callable

from ..settings import Address, TlsSettings
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
    """A URL that clients cannot use is worse than none."""
    url: str = checked.value("server", "reconnect_url")
    if url and not _RTMP_URL.fullmatch(url):
        checked.problem(("server", "reconnect_url"), "is not an RTMP URL", "write rtmp://host/application")


def _check_known(checked: Checked, key: str, name: str, find: Callable[[str], object]) -> None:
    if not name:
        return
    try:
        find(name)
    except KeyError:
        checked.problem(("daemon", key), f"there is no {key} {name} on this system", "create it, or name another one")


def check_tls(checked: Checked, section: str, listen: tuple[Address, ...], tls: TlsSettings) -> None:
    """Report what is missing or cannot be read of the listeners of a section that speak TLS."""
    given = {"tls_listen": bool(listen), "tls_cert": bool(tls.cert), "tls_key": bool(tls.key)}
    missing = [key for key, is_given in given.items() if not is_given]
    if missing and len(missing) < len(given):
        first = next(key for key in given if given[key])
        checked.problem(
            (section, first), f"needs {' and '.join(missing)} too", "TLS takes all three of " + ", ".join(given)
        )
    for key, path in (("tls_cert", tls.cert), ("tls_key", tls.key)):
        if path and (reason := _unreadable(path)):
            checked.problem((section, key), f"{path}: {reason}", "name a PEM file that rtmpd may read")
    if tls.key and os.path.isfile(tls.key) and os.stat(tls.key).st_mode & stat.S_IROTH:
        text = f"{tls.key} holds a private key, and everybody can read it"
        checked.warning((section, "tls_key"), text, f"chmod o-r {tls.key}")


def _unreadable(path: str) -> str:
    """Why a file cannot be read, "" if it can."""
    try:
        with open(path, "rb"):
            return ""
    except OSError as error:
        return error.strerror or str(error)
