"""Resource usage of the process and the machine from psutil, and the limits of the control group, which psutil lacks.

Values that cannot be read are 0 or left out, because the daemon must not fail for its metrics. One look takes about a
tenth of a millisecond.
"""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from ..clock import Clock
from ..metrics.registry import Reading

_NO_LIMIT = 1 << 60  # what control groups of version 1 write is near 2**63


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage at one moment."""

    cpu_percent: float
    machine_percent: float
    memory_bytes: int
    memory_percent: float
    descriptors: int
    descriptors_most: int
    threads: int

    @property
    def descriptors_percent(self) -> float:
        """Open descriptors in percent of the maximum."""
        return 100 * self.descriptors / self.descriptors_most if self.descriptors_most else 0.0


class System:
    """Reads the usage of the process. CPU shares cover at least the last ``window_s``. Control groups are read below
    ``root``."""

    def __init__(self, clock: Clock, window_s: float = 1.0, root: str = "/") -> None:
        self._clock = clock
        self._window_s = window_s
        self._root = root.rstrip("/")
        self._process = psutil.Process()
        self._memory_limit = self._find_memory_limit()
        self._at = clock.monotonic()
        self._cpu_s = _cpu_seconds()
        self._machine = _machine_seconds()
        self._shares = 0.0, 0.0
        self.started_at = self._process.create_time()

    def look(self) -> Usage:
        """Return the current usage."""
        with self._process.oneshot():
            memory, threads = self._process.memory_info().rss, self._process.num_threads()
        cpu_percent, machine_percent = self._cpu_shares()
        return Usage(
            cpu_percent=cpu_percent,
            machine_percent=machine_percent,
            memory_bytes=memory,
            memory_percent=100 * memory / self._memory_limit,
            descriptors=self._descriptors(),
            descriptors_most=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            threads=threads,
        )

    def read(self) -> Iterator[Reading]:
        """Yield the metrics of the process."""
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

    def _cpu_shares(self) -> tuple[float, float]:
        """Return the CPU share of the process in percent of one processor, and of the machine in percent of all."""
        now = self._clock.monotonic()
        elapsed_s = now - self._at
        if elapsed_s > 0 and elapsed_s >= self._window_s:
            cpu_s, (busy_s, total_s) = _cpu_seconds(), _machine_seconds()
            spent_s = total_s - self._machine[1]
            machine = 100 * (busy_s - self._machine[0]) / spent_s if spent_s > 0 else self._shares[1]
            self._shares = 100 * (cpu_s - self._cpu_s) / elapsed_s, machine
            self._at, self._cpu_s, self._machine = now, cpu_s, (busy_s, total_s)
        return self._shares

    def _descriptors(self) -> int:
        """Return the number of open descriptors. psutil lists them, which takes milliseconds for thousands; since Linux
        6.2 the size of the directory is their number."""
        try:
            return os.stat("/proc/self/fd").st_size or self._process.num_fds()
        except OSError:  # no descriptor is left to list them with
            return 0

    # --- control groups -------------------------------------------------------------------------

    def _find_memory_limit(self) -> int:
        """Return the smallest of the limits of the control groups (both versions) and the machine's memory."""
        limits = [_number(self._text(path)) for path in self._limit_files()]
        return min([limit for limit in limits if 0 < limit < _NO_LIMIT] + [psutil.virtual_memory().total])

    def _limit_files(self) -> Iterator[str]:
        """Yield the files that may have a limit: of our group and its ancestors. In a container our group is the
        root."""
        for line in self._text("/proc/self/cgroup").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            base, name = ("/memory", "memory.limit_in_bytes") if controllers else ("", "memory.max")
            parts = [part for part in group.split("/") if part]
            for depth in range(len(parts), -1, -1):
                yield "/".join(["/sys/fs/cgroup" + base, *parts[:depth], name])

    def _text(self, path: str) -> str:
        try:
            with open(self._root + path, encoding="ascii", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def disk_percent(path: str) -> float:
    """Return how full the file system of ``path`` is for us, in percent. Raises OSError. May block for as long as the
    file system does."""
    facts = os.statvfs(path)
    ours = facts.f_blocks - facts.f_bfree + facts.f_bavail
    return 100 * (1 - facts.f_bavail / ours) if ours else 0.0


def _machine_seconds() -> tuple[float, float]:
    """Return the busy seconds and all seconds of all processors since boot. Guest time is part of user time already."""
    times = psutil.cpu_times()
    total = sum(times) - times.guest - times.guest_nice
    return total - times.idle - times.iowait, total


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _number(text: str) -> int:
    """Return the limit in a file, or 0 (``max`` in groups of version 2)."""
    return int(text) if text.strip().isdigit() else 0
