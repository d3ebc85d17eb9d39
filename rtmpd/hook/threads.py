"""Runs blocking work in a thread while greenlets go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gevent.threadpool import ThreadPool

T = TypeVar("T")


def in_thread(pool: ThreadPool, work: Callable[[], T]) -> T:
    """Return what ``work`` returns in a thread of ``pool``, or raise here what it raises there: the pool itself would
    also print that, whoever handles it. May switch greenlets."""
    results: list[T] = []
    errors: list[BaseException] = []

    def catch() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  it is raised again, where it belongs
            errors.append(error)

    pool.spawn(catch).get()
    if errors:
        raise errors[0]
    return results[0]
