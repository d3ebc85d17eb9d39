"""The daemon's half of the hook trials: a real HookManager with one hook and an emitter, alone on its processor.

It is run by ``python -m gevent.monkey --module``, takes a Job as JSON and prints its figures as JSON. What the emitter
costs is the daemon's cost too: it is the same ``emit`` that the server calls.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gevent

from rtmpd.clock import Clock
from rtmpd.event.event import Event
from rtmpd.hook.manager import HookManager
from rtmpd.settings import (
    DeliverySettings,
    FilterSettings,
    HookSettings,
    HooksSettings,
    RetrySettings,
    StoreSettings,
)

from .hook_job import Job

WARM_UP_EVENTS = 200
AHEAD_EVENTS = 2000
AHEAD_OF_RETRIES = 8000  # beside what waits for another try, so that the lane always has something to do
POLL_S = 0.002
PATIENCE_S = 60.0
STORE_BYTES = 16 << 30
RESUMED_EVENTS = 2000
FILTER_ROUNDS = 100_000
HOOK = "bench"

Figures = dict[str, float]


class Emitter:
    """Emits play_start and play_stop in turn on each of the streams."""

    def __init__(self, manager: HookManager, streams: int) -> None:
        self._manager = manager
        self._streams = streams
        self.emitted = 0

    def emit(self, sent_ns: int) -> None:
        """One more event, made at ``sent_ns``; 0 if its delay does not count."""
        index, number = self.emitted % self._streams, self.emitted // self._streams + 1
        self.emitted += 1
        stream = f"live/{index}"
        session = {"app": "live", "session_id": f"{index}-{(number + 1) // 2}", "client_ip": "198.51.100.7"}
        facts = {"number": number, "sent_ns": sent_ns, **session, "protocol": "rtmp"}
        if number % 2:
            self._manager.emit("play_start", conn_id=f"c{index:06}", stream_key=stream, **facts)
        else:
            spent = {"duration_sec": 12.5, "bytes_sent": 3_145_728, "frames_dropped": 0, "reason": "unpublish"}
            self._manager.emit("play_stop", conn_id=f"c{index:06}", stream_key=stream, **facts, **spent)


class Daemon:
    """The hooks of a daemon with the one hook of the job, and an emitter."""

    def __init__(self, job: Job) -> None:
        self.job = job
        hook = HookSettings(
            HOOK,
            job.type,
            job.target,
            timeout_s=30.0,
            concurrency=job.concurrency,
            queue_events=job.queue_events,
            delivery=DeliverySettings(job.guarantee, batch_events=job.batch_events, batch_age_s=job.batch_age_s),
            retry=RetrySettings(job.max_attempts, job.initial_delay_s, job.max_delay_s, jitter=job.jitter),
        )
        store = StoreSettings(str(Path(job.directory) / "events.db"), size_bytes=STORE_BYTES)
        self.manager = HookManager(HooksSettings((hook,), concurrency=job.concurrency, store=store), Clock())
        self.lane = self.manager.lanes[HOOK]
        self.emitter = Emitter(self.manager, job.streams)

    @property
    def accepted(self) -> int:
        """Events that are on the disk."""
        return self.manager.events.committed if self.manager.events else 0

    @property
    def delivered(self) -> int:
        return self.lane.executed

    @property
    def dead(self) -> int:
        return sum(self.lane.dead_letters.counts.values())

    @property
    def ended(self) -> int:
        """Events that have come to an end, whichever."""
        return self.lane.executed + self.lane.dropped + self.dead

    def emit(self, events: int, sent_ns: Callable[[], int], done: Callable[[], int]) -> None:
        """Emit so many, never more than AHEAD_EVENTS before what ``done`` counts, and wait until it has them all."""
        for _ in range(events):
            if self.emitter.emitted % 50 == 0:
                gevent.sleep(0)
                wait(lambda: self.emitter.emitted - done() < AHEAD_EVENTS)
            self.emitter.emit(sent_ns())
        wait(lambda: done() >= self.emitter.emitted)


def wait(until: Callable[[], bool]) -> None:
    """Let the others run until that holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError("nothing moves any more")
        gevent.sleep(POLL_S)


def no_moment() -> int:
    return 0


def deliver(job: Job) -> Figures:
    """Events as fast as they are delivered."""
    daemon = Daemon(job)
    daemon.emit(WARM_UP_EVENTS, no_moment, lambda: daemon.delivered)
    used = meter()
    daemon.emit(job.events, no_moment, lambda: daemon.delivered)
    figures = used(job.events)
    daemon.manager.close(1.0)
    return {**figures, "sent": daemon.emitter.emitted}


def sporadic(job: Job) -> Figures:
    """Events as fast as they are delivered by an endpoint that fails now and then, measured when the first half was
    emitted: by then as many wait for another try as will at the end."""
    daemon = Daemon(job)
    keep_emitting(daemon, job.events // 2)
    wait(lambda: daemon.delivered > 0)  # of few events none may be there yet
    began, before, used = time.monotonic(), daemon.delivered, meter()
    keep_emitting(daemon, job.events)
    wait(lambda: daemon.delivered > before)
    delivered, wall_s = daemon.delivered - before, time.monotonic() - began
    figures = used(delivered)
    wait(lambda: daemon.ended >= daemon.emitter.emitted)
    figures |= {"events/s": delivered / wall_s, "dropped": daemon.lane.dropped, "dead": daemon.dead}
    daemon.manager.close(1.0)
    return {**figures, "sent": daemon.emitter.emitted}


def keep_emitting(daemon: Daemon, events: int) -> None:
    """Emit so many, never more than AHEAD_OF_RETRIES before what has come to its end."""
    for _ in range(events):
        if daemon.emitter.emitted % 50 == 0:
            gevent.sleep(0)
            while daemon.emitter.emitted - daemon.ended >= AHEAD_OF_RETRIES:
                gevent.sleep(10 * POLL_S)
        daemon.emitter.emit(0)


def accept(job: Job) -> Figures:
    """Events as fast as they are on the disk; the hook is stopped."""
    daemon = Daemon(job)
    daemon.lane.pause("bench")
    daemon.emit(WARM_UP_EVENTS, no_moment, lambda: daemon.accepted)
    used, commits = meter(), daemon.manager.events.commits if daemon.manager.events else 0
    daemon.emit(job.events, no_moment, lambda: daemon.accepted)
    figures = used(job.events)
    assert daemon.manager.events is not None
    figures["events/commit"] = job.events / (daemon.manager.events.commits - commits)
    daemon.manager.close(1.0)
    return figures


def paced(job: Job) -> Figures:
    """An open loop: each event has its moment, and it is from that moment on that its delay counts."""
    daemon = Daemon(job)
    daemon.emit(WARM_UP_EVENTS, no_moment, lambda: daemon.ended)
    used = meter()
    step_ns = 1_000_000_000 // job.rate
    begin = time.monotonic_ns()
    for index in range(job.events):
        due = begin + index * step_ns
        while (left := due - time.monotonic_ns()) > 0:
            gevent.sleep(left / 1e9)
        daemon.emitter.emit(due)
    wait(lambda: daemon.ended >= daemon.emitter.emitted)
    figures = used(job.events) | {"dropped": daemon.lane.dropped, "dead": daemon.dead}
    daemon.manager.close(1.0)
    return {**figures, "sent": daemon.emitter.emitted}


def backlog(job: Job) -> Figures:
    """Events for an endpoint that is down; the process then dies without a word."""
    daemon = Daemon(job)
    daemon.emit(WARM_UP_EVENTS, no_moment, lambda: daemon.accepted)
    gc.collect()
    before_kb = resident_kb()
    used = meter()
    daemon.emit(job.events - WARM_UP_EVENTS, no_moment, lambda: daemon.accepted)
    figures = used(job.events - WARM_UP_EVENTS)
    figures["RSS growth MB"] = (resident_kb() - before_kb) * 1024 / 1e6
    figures["backlog"] = daemon.lane.queued + daemon.lane.active
    return figures


def resume(job: Job) -> Figures:
    """A start with what ``backlog`` has left."""
    daemon = Daemon(job)
    wait(lambda: daemon.delivered > 0)
    figures = {"first delivery s": (time.monotonic_ns() - job.started_ns) / 1e9}
    used = meter()
    wanted = min(job.events, RESUMED_EVENTS)
    wait(lambda: daemon.delivered >= wanted)
    return {**used(wanted), **figures}


def sieve(job: Job) -> Figures:
    """The time that one filter of every kind takes for an event that passes it."""
    manager = HookManager(HooksSettings(), Clock())
    settings = FilterSettings(
        stream_patterns=("live/*", "vod/**"),
        conditions=("data.number > 10", 'data.app == "live"'),
        min_severity="info",
    )
    manager.filters.update_filter(HOOK, settings, ("play_*", "publish_start"))
    data = {"number": 17, "app": "live", "session_id": "s1", "client_ip": "198.51.100.7"}
    events = [Event("play_start", 1, "c1", f"live/{index}", data) for index in range(job.streams)]
    should_trigger = manager.filters.should_trigger
    passed, began = 0, time.perf_counter_ns()
    for index in range(FILTER_ROUNDS):
        passed += should_trigger(events[index % len(events)], HOOK)[0]
    spent_ns = time.perf_counter_ns() - began
    assert passed == FILTER_ROUNDS
    return {"filter us": spent_ns / FILTER_ROUNDS / 1000}


def meter() -> Callable[[int], Figures]:
    """Starts to measure; the result says what so many events have cost since."""
    began, cpu = time.monotonic(), cpu_s()

    def used(events: int) -> Figures:
        wall_s, spent_s = time.monotonic() - began, cpu_s() - cpu
        return {
            "events/s": events / wall_s,
            "events/CPU-s": events / spent_s,
            "CPU us/event": spent_s / events * 1e6,
            "cores": spent_s / wall_s,
        }

    return used


def cpu_s() -> float:
    """Processor time of all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


JOBS: dict[str, Callable[[Job], Figures]] = {
    "deliver": deliver,
    "sporadic": sporadic,
    "accept": accept,
    "paced": paced,
    "backlog": backlog,
    "resume": resume,
    "sieve": sieve,
}


def main() -> None:
    logging.disable(logging.CRITICAL)
    job = Job(**json.loads(sys.argv[1]))
    print(json.dumps(JOBS[job.trial](job)), flush=True)
    os._exit(0)  # ``backlog`` and ``resume`` leave as a crash would


if __name__ == "__main__":
    main()
