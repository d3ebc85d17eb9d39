"""What /proc and the kernel's clocks say about the server's processes, and their orderly end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

PROCESS_CPU_CLOCK = 2
"""Scheduler time in a clock id made from a process id (clock_getcpuclockid(3))."""

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ESTABLISHED = "01"


def tree(pid: int) -> list[int]:
    """A process and all its living descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def cpu_s(pid: int) -> float:
    """User and system time of a process tree in seconds: all threads, and the children that ended.

    Read from the scheduler's nanosecond clock of each process, not from its ticks of 10 ms.
    """
    total = 0.0
    for each in tree(pid):
        try:
            total += time.clock_gettime((~each << 3) | PROCESS_CPU_CLOCK)
            ended = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[13:15]
        except (FileNotFoundError, ProcessLookupError, OSError):
            continue
        total += sum(map(int, ended)) / TICKS_PER_S
    return total


def resident_kb(pid: int) -> int:
    """Resident memory of a process tree in KiB."""
    total = 0
    for each in tree(pid):
        try:
            status = Path(f"/proc/{each}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return total


def server_has_closed(port: int, client_port: int) -> bool:
    """Whether the server's end of a loopback connection is no longer established.

    The client's end cannot tell while it leaves its receive buffer full.
    """
    local, remote = f":{port:04X}", f":{client_port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()
        except FileNotFoundError:
            continue
        for fields in map(str.split, lines[1:]):
            if fields[1].endswith(local) and fields[2].endswith(remote):
                return fields[3] != ESTABLISHED
    return True


def end(process: subprocess.Popen[bytes], patience_s: float = 5.0) -> None:
    """Ask a process to end, and end its whole tree if it does not."""
    if process.poll() is not None:
        return
    family = tree(process.pid)
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        pass  # it had its chance
    finally:
        if process.poll() is None:
            _kill(family)
            process.wait()


def _kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
