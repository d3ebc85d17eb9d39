"""What the process and its machine use, from /proc and the control group. Linux only.

What can not be read is 0 or left out: alerts and metrics are no reason to fail. Nothing here switches greenlets; one
whole look takes about a tenth of a millisecond.
"""

from __future__ import annotations

import gc
import os
import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from ..clock import Clock
from ..metrics.registry import Reading

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NO_LIMIT = 1 << 60  # what control groups of version 1 write is near 2**63


@dataclass(frozen=True, slots=True)
class Usage:
    """One look."""

    cpu_percent: float
    machine_percent: float
    memory_bytes: int
    memory_percent: float
    descriptors: int
    descriptors_most: int
    threads: int

    @property
    def descriptors_percent(self) -> float:
        """Open descriptors in percent of those there may be."""
        return 100 * self.descriptors / self.descriptors_most if self.descriptors_most else 0.0


class System:
    """Looks at the process. CPU shares are those of at least the last ``window_s``. ``root`` is where /proc and /sys
    are."""

    def __init__(self, clock: Clock, window_s: float = 1.0, root: str = "/") -> None:
        self._clock = clock
        self._window_s = window_s
        self._root = root.rstrip("/")
        self._memory_limit = self._find_memory_limit()
        self._at = clock.monotonic()
        self._cpu_s = _cpu_seconds()
        self._machine = self._machine_ticks()
        self._shares = 0.0, 0.0
        self.started_at = self._find_start()

    def look(self) -> Usage:
        """What is used now."""
        memory = self._resident_bytes()
        cpu_percent, machine_percent = self._cpu_shares()
        return Usage(
            cpu_percent=cpu_percent,
            machine_percent=machine_percent,
            memory_bytes=memory,
            memory_percent=100 * memory / self._memory_limit if self._memory_limit else 0.0,
            descriptors=self._descriptors(),
            descriptors_most=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            threads=threads(),
        )

    def read(self) -> Iterator[Reading]:
        """The metrics of the process."""
        usage = self.look()
        yield Reading("process_cpu_seconds_total", _cpu_seconds())
        yield Reading("rtmp_process_cpu_percent", usage.cpu_percent)
        yield Reading("rtmp_machine_cpu_percent", usage.machine_percent)
        yield Reading("process_resident_memory_bytes", usage.memory_bytes)
        yield Reading("rtmp_process_memory_percent", usage.memory_percent)
        yield Reading("process_open_fds", usage.descriptors)
        yield Reading("process_max_fds", usage.descriptors_most)
        yield Reading("process_threads", usage.threads)
        yield Reading("process_start_time_seconds", self.started_at)
        for generation, counts in enumerate(gc.get_stats()):
            yield Reading("python_gc_collections_total", counts["collections"], (str(generation),))
            yield Reading("python_gc_objects_collected_total", counts["collected"], (str(generation),))

    # --- CPU ------------------------------------------------------------------------------------

    def _cpu_shares(self) -> tuple[float, float]:
        """Of the process in percent of one processor, of the machine in percent of all."""
        now = self._clock.monotonic()
        elapsed_s = now - self._at
        if elapsed_s > 0 and elapsed_s >= self._window_s:
            cpu_s, (busy, total) = _cpu_seconds(), self._machine_ticks()
            ticks = total - self._machine[1]
            machine = 100 * (busy - self._machine[0]) / ticks if ticks > 0 else self._shares[1]
            self._shares = 100 * (cpu_s - self._cpu_s) / elapsed_s, machine
            self._at, self._cpu_s, self._machine = now, cpu_s, (busy, total)
        return self._shares

    def _machine_ticks(self) -> tuple[int, int]:
        """Busy ticks and all ticks of all processors since boot (proc(5), /proc/stat)."""
        line = self._text("/proc/stat").partition("\n")[0]
        ticks = [int(word) for word in line.split()[1:9]]  # guest time is part of user time already
        idle = sum(ticks[3:5])
        return sum(ticks) - idle, sum(ticks)

    # --- memory ---------------------------------------------------------------------------------

    def _resident_bytes(self) -> int:
        words = self._text("/proc/self/statm").split()
        return int(words[1]) * _PAGE_BYTES if len(words) > 1 else 0

    def _find_memory_limit(self) -> int:
        """The least of the limits of the control groups, of both versions, and the machine's memory; 0 if unknown."""
        limits = [limit for path in self._limit_files() if (limit := _number(self._text(path)))]
        for line in self._text("/proc/meminfo").splitlines():
            if line.startswith("MemTotal:"):
                limits.append(int(line.split()[1]) * 1024)
        return min((limit for limit in limits if limit < _NO_LIMIT), default=0)

    def _limit_files(self) -> Iterator[str]:
        """Where a limit may be: in our group and those above it. In a container our group looks like the root."""
        for line in self._text("/proc/self/cgroup").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            base, name = ("/memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")
            parts = [part for part in group.split("/") if part]
            for depth in range(len(parts), -1, -1):
                yield "/".join(["/sys/fs/cgroup" + base, *parts[:depth], name])

    # --- the rest -------------------------------------------------------------------------------

    def _descriptors(self) -> int:
        """Linux 6.2 and later tell the number as the size of the folder; before, each has to be listed."""
        folder = f"{self._root}/proc/self/fd"
        try:
            return os.stat(folder).st_size or len(os.listdir(folder)) - 1  # the listing itself has one open
        except OSError:  # there is none left to list them with, or no /proc
            return 0

    def _find_start(self) -> float:
        """Unix time at which the process started (proc(5), /proc/PID/stat field 22), from the time since boot."""
        fields = self._text("/proc/self/stat").rpartition(")")[2].split()
        uptime = self._text("/proc/uptime").split()
        if len(fields) < 20 or not uptime:
            return self._clock.wall()
        return self._clock.wall() - (float(uptime[0]) - int(fields[19]) / _TICKS_PER_S)

    def _text(self, path: str) -> str:
        try:
            with open(self._root + path, encoding="ascii", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def disk_percent(path: str) -> float:
    """How full the file system of ``path`` is for us, in percent. Raises OSError. May block for as long as the file
    system does."""
    facts = os.statvfs(path)
    ours = facts.f_blocks - facts.f_bfree + facts.f_bavail
    return 100 * (1 - facts.f_bavail / ours) if ours else 0.0


def threads() -> int:
    """The threads of the process, those of gevent's pool and of libraries included."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _number(text: str) -> int:
    """A limit in a file; 0 if there is none, which groups of version 2 write as ``max``."""
    return int(text) if text.strip().isdigit() else 0
