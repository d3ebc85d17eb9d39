"""The order of a reload while the daemon runs: plan, prepare, commit, retire.

What changed is found by comparing slices of the settings. Everything new that can fail is made beside the old; if
anything does fail nothing has changed. Then the new takes the place of the old, by assignments and without a
switch of greenlets, and what was replaced is released. The result is logged, and emitted as ``config_reload``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from .change import Change
from .config.loader import Loaded
from .config.options import spec
from .errors import ConfigError, Problem
from .hook.store.database import unusable
from .log import logger
from .settings import GUARANTEE_NONE, Settings, StoreSettings

_log = logger("reload")

APPLIED = "applied"
REJECTED = "rejected"

#: Slices that are only read when the process starts.
_OF_THE_PROCESS = ("daemon", "debug")
_AUDIT = (("audit_file", "file"), ("audit_key", "key"), ("audit", "scope"))

_OURS = "an error of rtmpd; its log has the traceback"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reload: the ``settings`` in effect then, the sections that ``changed`` and the keys that wait
    for a ``restart``, or the ``problems`` for which nothing has changed. ``loaded`` is what was read, if it is
    usable."""

    settings: Settings
    loaded: Loaded | None = None
    changed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Reloadable(Protocol):
    """A daemon whose settings can change while it runs."""

    @property
    def store_is_open(self) -> bool:
        """Whether the event log has been opened; before that it can be anywhere."""

    def prepare(self, settings: Settings) -> Change:
        """Prepare everything that these settings need. Raises ConfigError."""

    def tell_reload(self, **facts: Any) -> None:
        """Emit ``config_reload`` with these facts as its data."""


def reload(house: Reloadable, current: Settings, read: Callable[[], Loaded]) -> Outcome:
    """Put the settings that ``read`` returns into effect.

    Never raises: problems are logged and leave everything as it is. May switch greenlets.
    """
    loaded = None
    try:
        loaded = read()
        check_store(loaded.settings, current)
        new, restart = without_restart(current, loaded.settings, house.store_is_open)
        change = house.prepare(new)
    except ConfigError as error:
        problems = [placed(problem, loaded) for problem in error.problems]
        for problem in problems:
            _log.error("configuration problem", problem=problem)
        return _rejected(house, current, tuple(str(problem) for problem in problems))
    except Exception:  # noqa: BLE001  after any error the house still runs with what it had
        _log.exception("configuration not read")
        return _rejected(house, current, (_OURS,))
    change.commit()
    changed = tuple(name for name in _slices() if getattr(new, name) != getattr(current, name))
    try:
        change.retire()
    except Exception:  # noqa: BLE001  the new is in effect; what was replaced is only in the way
        _log.exception("releasing the replaced parts failed")
    for warning in loaded.warnings:
        _log.warning("configuration warning", problem=warning)
    if restart:
        _log.warning("changed settings need a restart", keys=",".join(restart))
    _log.info("configuration reloaded", changed=",".join(changed) or "nothing")
    house.tell_reload(result=APPLIED, changed=list(changed), restart_needed=list(restart), errors=[])
    return Outcome(new, loaded, changed, restart)


def check_store(new: Settings, current: Settings | None = None) -> None:
    """Raise ConfigError if the next start could not open the event store of ``new``. With ``current``, a store that is
    already in use is not checked."""
    path = new.hooks.store.path
    if all(hook.delivery.guarantee_level == GUARANTEE_NONE for hook in new.hooks.hooks):
        return
    if (current is None or path != current.hooks.store.path) and (why := unusable(path)):
        raise ConfigError([Problem("", "store.path", f"{path}: {why}", hint="the next start could not open it")])


def _rejected(house: Reloadable, current: Settings, problems: tuple[str, ...]) -> Outcome:
    _log.error("configuration not reloaded", problems=len(problems))
    house.tell_reload(result=REJECTED, changed=[], restart_needed=[], errors=list(problems))
    return Outcome(current, problems=problems)


def placed(problem: Problem, loaded: Loaded | None) -> Problem:
    """Return a problem that appeared only on trial, with the line or the flag that caused it."""
    if loaded is None or problem.where or not problem.key:
        return problem
    return replace(problem, where=loaded.checked.where(tuple(problem.key.split("."))))


def _slices() -> list[str]:
    return [slice.name for slice in fields(Settings)]


def without_restart(current: Settings, new: Settings, store_is_open: bool) -> tuple[Settings, tuple[str, ...]]:
    """Return ``new`` with the options that need a restart as in ``current``, and their keys."""
    keys = []
    for name in _OF_THE_PROCESS:
        before, after = getattr(current, name), getattr(new, name)
        keys += [f"{name}.{key}" for key, field in _fields_of(name) if getattr(before, field) != getattr(after, field)]
    old, hooks = current.hooks, new.hooks
    if store_is_open:
        keys += [f"store.{key}" for key in _moved(old.store, hooks.store)]
        hooks = replace(hooks, store=replace(hooks.store, path=old.store.path, durability=old.store.durability))
    if hooks.attempt_log != old.attempt_log:
        keys.append("hooks.attempt_log")
    keys += [f"hooks.{key}" for key, field in _AUDIT if getattr(hooks.audit, field) != getattr(old.audit, field)]
    hooks = replace(hooks, attempt_log=old.attempt_log, audit=old.audit)
    as_it_is = {name: getattr(current, name) for name in _OF_THE_PROCESS}
    return replace(new, hooks=hooks, **as_it_is), tuple(keys)


def _fields_of(section: str) -> list[tuple[str, str]]:
    return [(option.key, option.field) for option in spec().sections[section].options.values()]


def _moved(old: StoreSettings, new: StoreSettings) -> list[str]:
    """Return the keys that ask for another event log. An empty path does not: no hook needs a log any more."""
    keys = ["path"] if new.path not in ("", old.path) else []
    return [*keys, "durability"] if new.durability != old.durability else keys
