"""Signals become words for one worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import gevent
import pytest

from rtmpd.daemon.signals import RELOAD, REOPEN_LOGS, STOP, SignalWords, StopAsked


@pytest.fixture
def words() -> Iterator[SignalWords]:
    taken = SignalWords({signal.SIGHUP: RELOAD, signal.SIGUSR1: REOPEN_LOGS})
    yield taken
    taken.close()


def test_a_signal_becomes_its_word(words: SignalWords) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)
    with gevent.Timeout(5):
        assert words.wait() == REOPEN_LOGS


def test_a_burst_of_one_signal_is_one_word(words: SignalWords) -> None:
    for _ in range(100):
        os.kill(os.getpid(), signal.SIGHUP)
    with gevent.Timeout(5):
        assert words.wait() == RELOAD
    words.put("end")
    assert words.wait() == "end"


def test_a_word_that_comes_while_the_same_is_worked_on_is_kept(words: SignalWords) -> None:
    words.put(RELOAD)
    assert words.wait() == RELOAD
    words.put(RELOAD)
    assert words.wait() == RELOAD


def test_words_come_in_the_order_of_their_signals(words: SignalWords) -> None:
    for word in ("b", "a", "b", "c"):
        words.put(word)
    assert [words.wait() for _ in range(3)] == ["b", "a", "c"]


def test_nothing_to_do_waits_without_spinning(words: SignalWords) -> None:
    waiting = gevent.spawn(words.wait)
    gevent.idle()
    assert not waiting.ready()
    words.put("x")
    assert waiting.get(timeout=5) == "x"


def test_a_stop_while_the_daemon_starts_ends_its_waiting() -> None:
    words = SignalWords({signal.SIGTERM: STOP})
    try:
        with pytest.raises(StopAsked), words.raising():
            gevent.spawn(words.put, STOP)
            gevent.sleep(30)
        with pytest.raises(StopAsked), words.raising():
            pytest.fail("it is noted already")
    finally:
        words.close()


def test_a_stop_after_the_start_is_a_word_and_nothing_else() -> None:
    words = SignalWords({})
    with words.raising():
        gevent.sleep(0)
    words.put(STOP)
    gevent.sleep(0)
    assert words.wait() == STOP
