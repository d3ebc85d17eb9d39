"""Reading the configuration again changes what can be changed, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtmpd.change import Change
from rtmpd.config import flags
from rtmpd.config.loader import Loaded, load
from rtmpd.config.options import spec
from rtmpd.errors import ConfigError, Problem
from rtmpd.reload import Outcome, reload, without_restart
from rtmpd.settings import (
    GUARANTEE_AT_LEAST_ONCE,
    AuditSettings,
    DaemonSettings,
    DebugSettings,
    DeliverySettings,
    HookSettings,
    HooksSettings,
    LimitSettings,
    LogSettings,
    ServerSettings,
    Settings,
    StoreSettings,
)

HOOKS = HooksSettings((HookSettings("out", "stdio", "json"),))


class House:
    """Notes what it is asked for."""

    def __init__(self, error: Exception | None = None, retire_error: Exception | None = None) -> None:
        self.store_is_open = False
        self.error = error
        self.retire_error = retire_error
        self.steps: list[object] = []
        self.told: list[dict[str, Any]] = []

    def prepare(self, settings: Settings) -> Change:
        if self.error:
            raise self.error
        self.steps.append(settings)
        return Change(lambda: self.steps.append("commit"), self._retire, lambda: self.steps.append("abort"))

    def _retire(self) -> None:
        self.steps.append("retire")
        if self.retire_error:
            raise self.retire_error

    def tell_reload(self, **facts: Any) -> None:
        self.told.append(facts)


def loaded(settings: Settings) -> Loaded:
    return replace(load(flags.parse([])), settings=settings)


def changed(house: House, new: Settings, current: Settings | None = None) -> Outcome:
    return reload(house, current or Settings(), lambda: loaded(new))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "rtmpd")
    return caplog


def fields_of(log: pytest.LogCaptureFixture, message: str) -> list[dict[str, str]]:
    return [{k: str(v) for k, v in vars(r)["fields"].items()} for r in log.records if r.getMessage() == message]


def test_the_new_takes_its_place_and_then_the_old_is_let_go(log: pytest.LogCaptureFixture) -> None:
    house = House()
    new = Settings(hooks=HOOKS, limits=LimitSettings(connections=5))
    outcome = changed(house, new)
    assert house.steps == [new, "commit", "retire"]
    assert (outcome.settings, outcome.changed, outcome.restart, outcome.problems) == (new, ("limits", "hooks"), (), ())
    assert fields_of(log, "configuration reloaded") == [{"changed": "limits,hooks"}]
    assert house.told == [{"result": "applied", "changed": ["limits", "hooks"], "restart_needed": [], "errors": []}]


def test_nothing_new_is_applied_too_and_says_so(log: pytest.LogCaptureFixture) -> None:
    house = House()
    assert changed(house, Settings()).changed == ()
    assert fields_of(log, "configuration reloaded") == [{"changed": "nothing"}]


def test_what_needs_a_restart_is_named_and_stays_as_it_is(log: pytest.LogCaptureFixture) -> None:
    house = House()
    new = Settings(
        server=ServerSettings(backlog=5),
        hooks=replace(HOOKS, attempt_log=200, audit=AuditSettings("/a", "k" * 40, "all")),
        daemon=DaemonSettings(pid_file="/p", umask=0o27),
        debug=DebugSettings(report_blocking_s=1.0),
    )
    keys = (
        "daemon.pid_file", "daemon.umask", "debug.report_blocking",
        "hooks.attempt_log", "hooks.audit_file", "hooks.audit_key", "hooks.audit",
    )  # fmt: skip
    for _ in range(2):  # the second time just as the first: it is still not in effect
        outcome = changed(house, new)
        assert outcome.settings == Settings(server=ServerSettings(backlog=5), hooks=HOOKS)
        assert (outcome.changed, outcome.restart) == (("server", "hooks"), keys)
        assert house.told[-1]["restart_needed"] == list(keys)
    assert fields_of(log, "changed settings need a restart") == [{"keys": ",".join(keys)}] * 2


def with_store(path: str, durability: str = "full") -> Settings:
    return Settings(hooks=HooksSettings(store=StoreSettings(path, durability, retention_s=9.0)))


def test_an_event_log_that_is_open_stays_where_it_is() -> None:
    settings, keys = without_restart(with_store("/a"), with_store("/b", "normal"), store_is_open=True)
    assert (settings, keys) == (with_store("/a"), ("store.path", "store.durability"))


def test_an_event_log_that_nobody_has_needed_can_be_anywhere() -> None:
    assert without_restart(with_store("/a"), with_store("/b"), store_is_open=False) == (with_store("/b"), ())


def test_an_event_log_that_nobody_needs_any_more_is_no_other_one() -> None:
    assert without_restart(with_store("/a"), with_store(""), store_is_open=True) == (with_store("/a"), ())


def test_every_option_that_is_marked_takes_a_restart_and_no_other() -> None:
    sections = [section for first in spec().sections.values() for section in first.family()]
    marked = {f"{s.path[0]}.{o.key}" for s in sections for o in s.options.values() if o.reload == "restart"}
    of_the_process = {f"{name}.{key}" for name in ("daemon", "debug") for key in spec().sections[name].options}
    assert marked == of_the_process | {
        "store.path", "store.durability", "hooks.attempt_log", "hooks.audit_file", "hooks.audit_key", "hooks.audit",
    }  # fmt: skip


def test_a_bad_file_changes_nothing_and_every_problem_is_logged_and_told(log: pytest.LogCaptureFixture) -> None:
    house = House()

    def read() -> Loaded:
        raise ConfigError([Problem("a.ini:1", "x.y", "no such key"), Problem("a.ini:2", "x.z", "no such key")])

    outcome = reload(house, Settings(hooks=HOOKS), read)
    problems = ["a.ini:1: x.y: no such key", "a.ini:2: x.z: no such key"]
    assert (outcome.settings, outcome.loaded, list(outcome.problems)) == (Settings(hooks=HOOKS), None, problems)
    assert house.steps == []
    assert [f["problem"] for f in fields_of(log, "configuration problem")] == problems
    assert house.told == [{"result": "rejected", "changed": [], "restart_needed": [], "errors": problems}]


def test_another_store_that_the_next_start_could_not_open_is_rejected(tmp_path: Path) -> None:
    durable = replace(HOOKS.hooks[0], delivery=DeliverySettings(guarantee_level=GUARANTEE_AT_LEAST_ONCE))
    good, bad = (str(tmp_path / name / "events.db") for name in (".", "none"))
    for store, hook, rejected in ((good, durable, False), (bad, durable, True), (bad, HOOKS.hooks[0], False)):
        house = House()
        outcome = changed(house, Settings(hooks=HooksSettings((hook,), store=StoreSettings(store))))
        assert bool(outcome.problems) is rejected, (store, outcome.problems)
        assert house.steps == [] if rejected else house.steps
    now = Settings(hooks=HooksSettings((durable,), store=StoreSettings(bad)))
    assert not changed(House(), replace(now, log=LogSettings(level="debug")), now).problems, "that one is open already"


@pytest.mark.parametrize("error", [ConfigError([Problem("", "hooks", "no")]), RuntimeError("bug")])
def test_what_can_not_be_prepared_leaves_everything(error: Exception, log: pytest.LogCaptureFixture) -> None:
    house = House(error)
    assert changed(house, Settings(hooks=HOOKS)).settings == Settings()
    assert "configuration not reloaded" in log.messages and house.told[0]["result"] == "rejected"


def test_a_problem_that_only_shows_when_it_is_tried_has_its_line_too(tmp_path: Path) -> None:
    file = tmp_path / "a.ini"
    file.write_text("[log]\nlevel = info\n[server]\nlisten = :1\n")
    read: Callable[[], Loaded] = lambda: load(flags.parse(["-c", str(file)]))  # noqa: E731
    for key, line in (("server.listen", 4), ("server.tls_cert", 3)):
        outcome = reload(House(ConfigError([Problem("", key, "taken")])), Settings(), read)
        assert outcome.problems == (f"{file}:{line}: {key}: taken",)


def test_what_was_replaced_and_can_not_be_let_go_is_logged_and_the_new_holds(log: pytest.LogCaptureFixture) -> None:
    house = House(retire_error=RuntimeError("bug"))
    assert changed(house, Settings(log=LogSettings("debug"))).changed == ("log",)
    assert house.told[0]["result"] == "applied"
    assert "releasing the replaced parts failed" in log.messages
