"""The configuration as rtmpctl reaches it: a reload is one, whoever asks for it, and everybody who waits is told."""

from __future__ import annotations

from dataclasses import replace

import gevent
import pytest

from rtmpd.config import flags
from rtmpd.config.loader import Loaded, load
from rtmpd.daemon import signals
from rtmpd.daemon.signals import SignalWords
from rtmpd.errors import ConfigError
from rtmpd.http.api import Refused
from rtmpd.reload import Outcome
from rtmpd.run import Control, not_emptied
from rtmpd.settings import LogSettings, Settings


def read() -> Loaded:
    return load(flags.parse([]))


@pytest.fixture
def control() -> Control:
    return Control(read(), read)


def test_before_the_start_and_after_the_end_there_is_no_reload(control: Control) -> None:
    with pytest.raises(Refused, match="starting or stopping"):
        control.reload()
    words = SignalWords({})
    control.open(words)
    waiting = gevent.spawn(control.reload)
    gevent.sleep(0)
    control.close()
    assert waiting.get(timeout=5)["problems"] == ["rtmpd is stopping"]
    with pytest.raises(Refused):
        control.reload()


def test_all_who_wait_are_told_and_whoever_comes_later_waits_for_the_next(control: Control) -> None:
    words = SignalWords({})
    control.open(words)
    first, second = gevent.spawn(control.reload), gevent.spawn(control.reload)
    gevent.sleep(0)
    assert words.wait() == signals.RELOAD
    waiting = control.waiting()
    late = gevent.spawn(control.reload)
    gevent.sleep(0)
    control.tell(waiting, Outcome(Settings(), changed=("hooks",), restart=("server",)))
    for one in (first, second):
        told = one.get(timeout=5)
        assert (told["ok"], told["changed"], told["restart"]) == (True, ["hooks"], ["server"])
    assert not late.ready()
    assert words.wait() == signals.RELOAD, "the late one is a reload of its own"
    control.tell(control.waiting(), Outcome(Settings(), problems=("a.ini:1: bad",)))
    told = late.get(timeout=5)
    assert (told["ok"], told["problems"]) == (False, ["a.ini:1: bad"])


def test_what_is_shown_is_what_was_read_last_and_could_be_used(control: Control) -> None:
    before = control.show()["text"]
    control.tell([], Outcome(Settings(), problems=("bad",)))
    assert control.show()["text"] == before
    line = flags.parse(["-log-level", "debug"])
    loaded = load(line)
    assert loaded.settings.log == replace(LogSettings(), level="debug")
    control.tell([], Outcome(loaded.settings, loaded))
    assert control.show()["text"] != before
    assert control.diff()["text"], "the files say something else by now"
    assert control.test() == {"ok": True, "problems": [], "warnings": []}


def test_what_takes_every_hook_away_is_not_applied_by_itself() -> None:
    line = flags.parse(["-c", "rtmpd.ini"])
    with pytest.raises(ConfigError, match="no hook any more; if that is meant, run rtmpctl reload"):
        not_emptied(load(line, text="[log]\nlevel = info\n"), hooks=1)
    with pytest.raises(ConfigError, match="no section is left"):
        not_emptied(load(line, text="# all gone\n"), hooks=0)
    assert not_emptied(load(line, text="[log]\n"), hooks=0)
    assert not_emptied(load(line, text="[hooks]\nstdio_format = json\n"), hooks=1)
