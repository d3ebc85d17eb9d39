"""Changes from root to an ordinary user, and sets the limits of the process.

This happens before a port is bound and before a log or a store is opened, so that missing permissions show at the start
and not at the first reload. The only capability that is kept is to bind ports below 1024, which a reload may add.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import resource
from dataclasses import dataclass

from ..errors import StartError
from ..settings.daemon import CORE_AS_IS, CORE_YES, DaemonSettings

_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_CAP_NET_BIND_SERVICE = 1 << 10
_CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True, slots=True)
class Identity:
    """A user with a main group; ``name`` is "" if only the group changes."""

    name: str
    uid: int
    gid: int
    home: str = ""


def identity(user: str, group: str) -> Identity | None:
    """Return the user and group to change to, None for no change. Raises StartError for an unknown name (status 67),
    and if we may not change to it (77)."""
    try:
        entry = pwd.getpwnam(user) if user else None
        gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid if entry else os.getegid()
    except KeyError as error:
        raise StartError(str(error.args[0]), os.EX_NOUSER) from None
    wanted = Identity(user, entry.pw_uid, gid, entry.pw_dir) if entry else Identity("", os.geteuid(), gid)
    if (wanted.uid, wanted.gid) == (os.geteuid(), os.getegid()):
        return None
    if os.geteuid():
        raise StartError(f"only root can become {user or group}", os.EX_NOPERM)
    return wanted


def become(wanted: Identity) -> None:
    """Become that user, with its supplementary groups. Call it before there are threads. Raises StartError."""
    try:
        if wanted.name:
            os.initgroups(wanted.name, wanted.gid)
        else:
            os.setgroups([wanted.gid])
        os.setgid(wanted.gid)
        if wanted.uid != os.geteuid():
            _prctl(_PR_SET_KEEPCAPS, 1)
            os.setuid(wanted.uid)
            _keep_low_ports()
    except OSError as error:
        who = wanted.name or f"group {wanted.gid}"
        raise StartError(f"cannot become {who}: {error.strerror or error}", os.EX_NOPERM) from None
    if wanted.name:
        os.environ.update(HOME=wanted.home, USER=wanted.name, LOGNAME=wanted.name)


def limit(settings: DaemonSettings) -> None:
    """Raise the limit on descriptors as far as allowed; allow or forbid core dumps. Raises StartError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if settings.open_files > soft != resource.RLIM_INFINITY:
        _raise_open_files(settings.open_files, hard)
    if settings.core_dumps != CORE_AS_IS:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard if settings.core_dumps == CORE_YES else 0, hard))


def keep_core_dumps(settings: DaemonSettings) -> None:
    """Enable core dumps again, because the change of user disables them. Raises StartError."""
    if settings.core_dumps == CORE_YES:
        try:
            _prctl(_PR_SET_DUMPABLE, 1)
        except OSError as error:
            raise StartError(f"core dumps cannot be enabled: {error.strerror}", os.EX_OSERR) from None


def _raise_open_files(wanted: int, hard: int) -> None:
    if wanted > hard != resource.RLIM_INFINITY:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        except (ValueError, OSError):  # only root may, and not over fs.nr_open
            wanted = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keep_low_ports() -> None:
    """Keep the capability to bind low ports, if we had it, and drop all others. Raises OSError."""
    try:
        _set_capabilities(_CAP_NET_BIND_SERVICE)
    except PermissionError:  # for example in a container without it
        _set_capabilities(0)


def _set_capabilities(bits: int) -> None:
    """capset(2) for this thread. Raises OSError."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(bits, bits, 0, 0, 0, 0)  # effective, permitted, inheritable: bits 0-31, then 32-63
    if _libc().capset(header, data):
        _raise_errno()


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, ctypes.c_ulong(value), *(ctypes.c_ulong(0),) * 3):
        _raise_errno()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _raise_errno() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
