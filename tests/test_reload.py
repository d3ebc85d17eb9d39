"""Reading the configuration again changes what can be changed, or nothing."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from rtmpd.config import flags
from rtmpd.config.loader import Loaded, load
from rtmpd.errors import ConfigError, Problem
from rtmpd.reload import reload
from rtmpd.settings import HookSettings, HooksSettings, LogSettings, ServerSettings, Settings

HOOKS = HooksSettings((HookSettings("out", "stdio", "json"),))


class House:
    def __init__(self, error: Exception | None = None) -> None:
        self.hooks: list[HooksSettings] = []
        self.error = error

    def replace_hooks(self, hooks: HooksSettings) -> None:
        if self.error:
            raise self.error
        self.hooks.append(hooks)


def loaded(settings: Settings) -> Loaded:
    return replace(load(flags.parse([])), settings=settings)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "rtmpd")
    return caplog


def fields_of(log: pytest.LogCaptureFixture, message: str) -> list[dict[str, str]]:
    return [{k: str(v) for k, v in vars(r)["fields"].items()} for r in log.records if r.getMessage() == message]


def test_new_hooks_are_used_from_now_on() -> None:
    house = House()
    assert reload(house, Settings(), lambda: loaded(Settings(hooks=HOOKS))) == Settings(hooks=HOOKS)
    assert house.hooks == [HOOKS]


def test_hooks_that_did_not_change_are_left_alone() -> None:
    house = House()
    reload(house, Settings(hooks=HOOKS), lambda: loaded(Settings(hooks=HOOKS)))
    assert house.hooks == []


def test_what_needs_a_restart_is_named_and_stays_as_it_is(log: pytest.LogCaptureFixture) -> None:
    new = Settings(server=ServerSettings(backlog=5), log=LogSettings(level="debug"), hooks=HOOKS)
    for _ in range(2):  # the second time just as the first: it is still not in effect
        assert reload(House(), Settings(), lambda: loaded(new)) == Settings(hooks=HOOKS)
    assert fields_of(log, "changed settings need a restart") == [{"sections": "server,log"}] * 2


def test_a_bad_file_changes_nothing_and_every_problem_is_logged(log: pytest.LogCaptureFixture) -> None:
    house = House()

    def read() -> Loaded:
        raise ConfigError([Problem("a.ini:1", "x.y", "no such key"), Problem("a.ini:2", "x.z", "no such key")])

    assert reload(house, Settings(hooks=HOOKS), read) == Settings(hooks=HOOKS)
    assert house.hooks == []
    assert [f["problem"] for f in fields_of(log, "configuration problem")] == [
        "a.ini:1: x.y: no such key",
        "a.ini:2: x.z: no such key",
    ]


@pytest.mark.parametrize("error", [ConfigError([Problem("", "hooks", "no")]), RuntimeError("bug")])
def test_hooks_that_can_not_be_replaced_leave_the_old_ones(error: Exception, log: pytest.LogCaptureFixture) -> None:
    assert reload(House(error), Settings(), lambda: loaded(Settings(hooks=HOOKS))) == Settings()
    assert "configuration not reloaded" in log.messages
