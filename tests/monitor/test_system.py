"""What the process uses, compared with psutil where it says the same, and with files made for it."""

from __future__ import annotations

import os
import time
from collections import namedtuple
from pathlib import Path

import gevent
import psutil
import pytest

from rtmpd.clock import Clock, FakeClock
from rtmpd.monitor.greenlets import count_greenlets
from rtmpd.monitor.system import System, Usage, disk_percent


def files(root: Path, **contents: str) -> str:
    """Files below ``root``: ``proc__meminfo`` is proc/meminfo."""
    for name, text in contents.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_memory_threads_and_descriptors_are_what_psutil_says() -> None:
    process, usage = psutil.Process(), System(Clock()).look()
    assert usage.memory_bytes == pytest.approx(process.memory_info().rss, rel=0.05)
    assert usage.threads == process.num_threads()
    assert usage.descriptors == sum(1 for number in range(4096) if is_open(number))
    assert usage.descriptors_most == process.rlimit(psutil.RLIMIT_NOFILE)[0]


def test_the_start_is_what_psutil_says() -> None:
    assert System(Clock()).started_at == pytest.approx(psutil.Process().create_time(), abs=2.0)


def test_open_files_are_seen() -> None:
    system = System(Clock())
    before = system.look().descriptors
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(10)]
    try:
        assert system.look().descriptors == before + 10
    finally:
        for descriptor in held:
            os.close(descriptor)


def test_cpu_is_the_share_of_one_processor_since_the_last_window() -> None:
    clock = FakeClock()
    system = System(clock, window_s=1.0)
    used = time.process_time()
    while time.process_time() - used < 0.1:
        sum(range(1000))
    clock.advance(0.5)
    assert system.look().cpu_percent == 0.0  # the window is not over
    clock.advance(0.5)
    share = system.look().cpu_percent
    assert 10.0 <= share < 20.0
    assert system.look().cpu_percent == share
    clock.advance(1.0)
    assert system.look().cpu_percent < 5.0


def test_the_machines_share_is_all_that_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    times = namedtuple("times", names)  # type: ignore[misc]  # the names are those of /proc/stat
    monkeypatch.setattr(psutil, "cpu_times", lambda: times(1.0, 0, 1, 7, 1, 0, 0, 0, 0.5, 0))
    system = System(clock)
    monkeypatch.setattr(psutil, "cpu_times", lambda: times(1.3, 0, 1.1, 7.5, 1.1, 0, 0, 0, 0.6, 0))
    clock.advance(1.0)
    assert system.look().machine_percent == pytest.approx(40.0)


V1 = "sys__fs__cgroup__memory"
WHOLE = psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, WHOLE),
        ({"proc__self__cgroup": "0::/a/b\n", "sys__fs__cgroup__a__b__memory.max": "max\n"}, WHOLE),
        ({"proc__self__cgroup": "0::/a/b\n", "sys__fs__cgroup__a__b__memory.max": "500000\n"}, 500_000),
        ({"proc__self__cgroup": "0::/a/b\n", "sys__fs__cgroup__a__memory.max": "400000\n"}, 400_000),
        ({"proc__self__cgroup": "0::/../x\n", "sys__fs__cgroup__memory.max": "300000\n"}, 300_000),
        (
            {"proc__self__cgroup": "4:memory:/x\n1:cpu:/y\n", f"{V1}__x__memory.limit_in_bytes": "7000"},
            7000,
        ),
        (
            {
                "proc__self__cgroup": "4:memory:/x\n",
                f"{V1}__x__memory.limit_in_bytes": "9223372036854771712",
            },
            WHOLE,
        ),
    ],
)
def test_memory_is_measured_against_the_least_limit(tmp_path: Path, limits: dict[str, str], expected: int) -> None:
    usage = System(FakeClock(), root=files(tmp_path, **limits)).look()
    assert usage.memory_percent == pytest.approx(100 * usage.memory_bytes / expected)


def test_without_descriptors_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(path: str) -> None:
        raise OSError(24, "Too many open files")

    system = System(FakeClock())
    monkeypatch.setattr(os, "stat", none_left)
    assert system.look().descriptors == 0
    assert len(list(system.read())) > 9


def test_descriptors_are_measured_against_their_limit() -> None:
    assert Usage(0, 0, 0, 0, 50, 200, 1).descriptors_percent == 25.0
    assert Usage(0, 0, 0, 0, 50, 0, 1).descriptors_percent == 0.0


def test_a_file_system_is_as_full_as_df_says() -> None:
    assert disk_percent("/") == pytest.approx(psutil.disk_usage("/").percent, abs=0.2)


def test_greenlets_are_counted_as_long_as_they_are_not_finished() -> None:
    before = count_greenlets()
    waiting = [gevent.spawn(gevent.sleep, 60) for _ in range(5)]
    gevent.sleep(0)
    assert count_greenlets() == before + 5
    gevent.killall(waiting)
    assert count_greenlets() == before
