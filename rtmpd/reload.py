"""Reading the configuration again while the daemon runs.

What changed is found by comparing slices. A configuration with a problem changes nothing; hooks are
replaced as they run; every other slice that changed is named, as it takes effect after a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Protocol

from .config.loader import Loaded
from .errors import ConfigError
from .log import logger
from .settings import HooksSettings, Settings

_log = logger("reload")


class Reloadable(Protocol):
    """What a reload can change in a running house."""

    def replace_hooks(self, hooks: HooksSettings) -> None:
        """Use these hooks from now on."""


def reload(house: Reloadable, current: Settings, read: Callable[[], Loaded]) -> Settings:
    """Bring what ``read`` returns into effect; the result is what is in effect then.

    Never raises: problems are logged and leave everything as it is. May switch greenlets.
    """
    try:
        loaded = read()
        if loaded.settings.hooks != current.hooks:
            house.replace_hooks(loaded.settings.hooks)
    except ConfigError as error:
        for problem in error.problems:
            _log.error("configuration problem", problem=problem)
        _log.error("configuration not reloaded", problems=len(error.problems))
        return current
    except Exception:  # noqa: BLE001  whatever it is, the house still runs with what it had
        _log.exception("configuration not reloaded")
        return current
    for warning in loaded.warnings:
        _log.warning("configuration warning", problem=warning)
    new = loaded.settings
    changed = [slice.name for slice in fields(Settings) if getattr(new, slice.name) != getattr(current, slice.name)]
    need_restart = [name for name in changed if name != "hooks"]
    if need_restart:
        _log.warning("changed settings need a restart", sections=",".join(need_restart))
    _log.info("configuration reloaded", changed=",".join(changed) or "nothing")
    return replace(current, hooks=new.hooks)
