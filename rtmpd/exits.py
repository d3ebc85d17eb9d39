"""Every exit status of ``rtmpd`` and ``rtmpctl`` with its meaning: the only table, for manuals, help and documents.

The numbers are those of sysexits.h, except 2, which go-rtmp and argparse use for a wrong flag, and 1 for a negative
answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NO: Final = 1
WRONG_FLAG: Final = 2

DAEMON: Mapping[int, str] = MappingProxyType({
    0: "stopped by a signal, or the requested output was printed; with `--daemon`: the listeners are open",
    WRONG_FLAG: "a flag is wrong",
    67: "the user or group to run as does not exist",
    69: "a listener cannot be opened, a certificate cannot be loaded, or the event store cannot be used",
    70: "an error in rtmpd; the log has the traceback",
    71: "the system refused a limit or a directory",
    73: "the log file or the pid file cannot be created",
    75: "another rtmpd has the pid file",
    77: "rtmpd may not change to the user to run as",
    78: "a configuration file is wrong; every problem is printed with file, line and key",
})

CONTROL: Mapping[int, str] = MappingProxyType({
    0: "success, or a positive answer",
    NO: "refused, or a negative answer: a configuration with problems, a hook that fails, an unknown stream",
    64: "the command line is wrong",
    69: "rtmpd is not running, or cannot be reached",
    70: "an error in rtmpd; its log has the traceback",
    75: "rtmpd is busy, or did not answer in time; try again",
    77: "not permitted: the socket belongs to another user, or the token is missing or wrong",
    78: "a configuration file is wrong",
})
