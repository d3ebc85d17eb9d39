"""Every exit status of ``rtmpd`` and ``rtmpctl`` and what it means: the one table, for manuals, help and documents.

The numbers are those of sysexits.h, but 2, which go-rtmp and argparse use for a wrong flag, and 1, the answer no.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NO: Final = 1
WRONG_FLAG: Final = 2

DAEMON: Mapping[int, str] = MappingProxyType({
    0: "stopped by a signal, or what was asked for was printed; with `--daemon`: the listeners are open",
    WRONG_FLAG: "a flag is wrong",
    67: "the user or group to be does not exist",
    69: "an address cannot be listened on, a certificate does not load, the event store cannot be used",
    70: "an error in rtmpd; the log has the traceback",
    71: "the system refuses a limit or a directory",
    73: "the log file or the pid file cannot be created",
    75: "another rtmpd has the pid file",
    77: "the user to be cannot be taken",
    78: "a configuration file is wrong; every problem is printed with file, line and key",
})

CONTROL: Mapping[int, str] = MappingProxyType({
    0: "it was done, or the answer is yes",
    NO: "it was refused, or the answer is no: a configuration with problems, a hook that fails, no such stream",
    64: "the command line is wrong",
    69: "rtmpd does not run, or cannot be reached",
    70: "an error of rtmpd; its log has the traceback",
    75: "rtmpd is busy, or did not answer in time; try again",
    77: "not permitted: the socket is somebody else's, or the token is missing or wrong",
    78: "a configuration file is wrong",
})
