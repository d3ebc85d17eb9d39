"""The common part of publish and play: how a tool runs and ends."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable

import gevent

from ..errors import RtmpdError


def seconds(text: str) -> float:
    """A duration on the command line."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("a positive number of seconds is wanted")
    return value


def run(name: str, work: Callable[[], None]) -> int:
    """Run a tool's work to its end; the exit status: 0, or 1 with the reason on stderr.

    The work has a greenlet of its own. SIGINT and SIGTERM raise GreenletExit in it, which counts
    as a good end, as does returning.
    """

    def attempt() -> int:
        try:
            work()
        except gevent.GreenletExit:
            pass  # stopped before there was anything to finish
        except (RtmpdError, OSError) as error:
            print(f"rtmpd {name}: {error}", file=sys.stderr)
            return 1
        return 0

    worker = gevent.spawn(attempt)
    worker.name = f"tool-{name}"

    def stop(signum: int, frame: object) -> None:
        worker.kill(block=False)

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = worker.get()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return status if isinstance(status, int) else 0


def report_every_second(line: Callable[[], str]) -> gevent.Greenlet[[], None]:
    """Print ``line()`` on stderr once per second, until killed."""

    def report() -> None:
        while True:
            gevent.sleep(1.0)
            print(line(), file=sys.stderr, flush=True)

    return gevent.spawn(report)
