"""Where the event log is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.proof import proves

from .conftest import Read, Refuse

DURABLE = "[hooks]\n[[a]]\ntype = webhook\nurl = http://a/\nguarantee_level = at-least-once\n"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("rtmpd.config.store._SYSTEM", str(tmp_path / "none"))


def test_a_hook_that_may_count_on_its_events_has_a_file(read: Read, tmp_path: Path) -> None:
    assert read(DURABLE).settings.hooks.store.path == str(tmp_path / ".local/state/rtmpd/events.db")


def test_the_directory_of_the_service_comes_first(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert read(DURABLE).settings.hooks.store.path == str(tmp_path / "events.db")


@proves("store.retention", "store.size", "store.full")
def test_the_file_of_the_configuration_is_used_and_its_bounds(read: Read, tmp_path: Path) -> None:
    store = read(f"[store]\npath = {tmp_path}/log.db\nretention = 1h\nsize = 8M\nfull = drop_newest\n{DURABLE}")
    found = store.settings.hooks.store
    assert (found.path, found.retention_s, found.size_bytes, found.full) == (
        f"{tmp_path}/log.db", 3600.0, 8 << 20, "drop_newest",
    )  # fmt: skip


@proves("--hook-store")
def test_the_flags_are_enough(read: Read, tmp_path: Path) -> None:
    words = ("--hook-webhook", "publish_start=http://a/", "--hook-delivery-guarantee", "at-least-once")
    loaded = read("", *words, "--hook-store", f"{tmp_path}/log.db")
    assert loaded.settings.hooks.store.path == f"{tmp_path}/log.db"
    (hook,) = loaded.settings.hooks.hooks
    assert (hook.delivery.guarantee_level, hook.retry.max_attempts) == ("at-least-once", 1000)
    assert read("", *words, "--hook-retry-max-attempts", "3").settings.hooks.hooks[0].retry.max_attempts == 3


def test_without_such_a_hook_nothing_is_made(read: Read, tmp_path: Path) -> None:
    assert read("").settings.hooks.store.path == ""
    assert not (tmp_path / ".local").exists()


@proves("store.path")
def test_a_directory_that_is_not_there_is_an_error(refuse: Refuse, tmp_path: Path) -> None:
    (problem,) = refuse(f"[store]\npath = {tmp_path}/no/log.db\n{DURABLE}")
    assert problem.key == "store.path" and "is not a directory" in problem.message and problem.where.endswith(":2")
