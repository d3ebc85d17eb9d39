"""Reading the configuration again while the daemon runs: plan, prepare, commit, retire.

What changed is found by comparing slices of the settings. Everything new that can fail is made beside the old; if
anything does fail nothing has changed. Then the new takes the place of the old, by assignments and without a
switch of greenlets, and what was replaced is let go. Whatever became of it is logged, and told as ``config_reload``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from .change import Change
from .config.loader import Loaded
from .errors import ConfigError
from .log import logger
from .settings import HooksSettings, Settings

_log = logger("reload")

APPLIED = "applied"
REJECTED = "rejected"

_OURS = "an error of rtmpd; its log has the traceback"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reload: the ``settings`` in effect then, the sections that ``changed`` and the keys that wait for
    a ``restart``, or the ``problems`` for which nothing has changed. ``loaded`` is what was read, if it is usable."""

    settings: Settings
    loaded: Loaded | None = None
    changed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Reloadable(Protocol):
    """A house whose settings can change while it runs."""

    def prepare(self, settings: Settings) -> Change:
        """Make what these settings need. Raises ConfigError."""

    def tell_reload(self, **facts: Any) -> None:
        """Emit ``config_reload``."""


def reload(house: Reloadable, current: Settings, read: Callable[[], Loaded]) -> Outcome:
    """Bring what ``read`` returns into effect.

    Never raises: problems are logged and leave everything as it is. May switch greenlets.
    """
    try:
        loaded = read()
        new, restart = without_restart(current, loaded.settings)
        change = house.prepare(new)
    except ConfigError as error:
        for problem in error.problems:
            _log.error("configuration problem", problem=problem)
        return _rejected(house, current, tuple(str(problem) for problem in error.problems))
    except Exception:  # noqa: BLE001  whatever it is, the house still runs with what it had
        _log.exception("configuration not read")
        return _rejected(house, current, (_OURS,))
    change.commit()
    changed = tuple(name for name in _slices() if getattr(new, name) != getattr(current, name))
    try:
        change.retire()
    except Exception:  # noqa: BLE001  the new is in effect; what was replaced is only in the way
        _log.exception("what was replaced could not be let go")
    for warning in loaded.warnings:
        _log.warning("configuration warning", problem=warning)
    if restart:
        _log.warning("changed settings need a restart", keys=",".join(restart))
    _log.info("configuration reloaded", changed=",".join(changed) or "nothing")
    house.tell_reload(result=APPLIED, changed=list(changed), restart_needed=list(restart), errors=[])
    return Outcome(new, loaded, changed, restart)


def _rejected(house: Reloadable, current: Settings, problems: tuple[str, ...]) -> Outcome:
    _log.error("configuration not reloaded", problems=len(problems))
    house.tell_reload(result=REJECTED, changed=[], restart_needed=[], errors=list(problems))
    return Outcome(current, problems=problems)


def _slices() -> list[str]:
    return [slice.name for slice in fields(Settings)]


def without_restart(current: Settings, new: Settings) -> tuple[Settings, tuple[str, ...]]:
    """``new``, with what takes a restart as it is in ``current``, and the keys of that."""
    hooks, keys = new.hooks, []
    old = current.hooks
    if _opens_a_file(old):
        for key in ("path", "durability"):
            if getattr(hooks.store, key) != getattr(old.store, key):
                keys.append(f"store.{key}")
                hooks = replace(hooks, store=replace(hooks.store, **{key: getattr(old.store, key)}))
    for field, key in (("attempt_log", "hooks.attempt_log"), ("audit", "hooks.audit_file")):
        if getattr(hooks, field) != getattr(old, field):
            keys.append(key)
            hooks = replace(hooks, **{field: getattr(old, field)})
    return replace(new, hooks=hooks), tuple(keys)


def _opens_a_file(hooks: HooksSettings) -> bool:
    """Whether the store has been opened; before that it can be anywhere."""
    return bool(hooks.store.path)
