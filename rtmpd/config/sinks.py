"""Options of workers and plugins, and of the records of all hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..errors import PluginError
from ..settings import AuditSettings, HookSettings
from .check import Checked, Values
from .entries import Path

WORKER = "worker"
PLUGIN = "plugin"

WORKER_BATCH_EVENTS = 64

#: Raises PluginError for a plugin, given its name, the id of the hook and its options, that cannot be used.
CheckPlugin = Callable[[str, str, Mapping[str, str | tuple[str, ...]]], None]

_OPTIONS = "options"
_PLUGIN_KEYS = ("run_in_thread",)


def applied(
    hook: HookSettings, checked: Checked, path: Path, values: Values, check_plugin: CheckPlugin
) -> HookSettings:
    """The hook with what is of its type alone; what is wrong with that goes to ``checked``. Its delivery is there
    already."""
    if hook.type == WORKER:
        return _worker(hook, checked, path, values)
    sections = list(checked.inner(path, _OPTIONS))
    if hook.type == PLUGIN:
        return _plugin(hook, checked, path, values, sections, check_plugin)
    for wrong in (*((*path, key) for key in _PLUGIN_KEYS if key in values), *sections):
        checked.problem(wrong, f"is for type = {PLUGIN}", f"this hook has type = {hook.type}")
    return hook


def audit(checked: Checked) -> AuditSettings:
    """The audit trail. Without a key it would prove nothing, so it has one."""
    file, key = checked.value("hooks", "audit_file"), checked.value("hooks", "audit_key")
    if bool(file) != bool(key):
        given, missing = ("audit_file", "audit_key") if file else ("audit_key", "audit_file")
        checked.problem(("hooks", given), f"needs {missing} too", "the trail is a file, and signed")
    return AuditSettings(file, key, checked.value("hooks", "audit"))


def _worker(hook: HookSettings, checked: Checked, path: Path, values: Values) -> HookSettings:
    """A worker has one process and one batch at a time, so concurrency does not apply to it."""
    if "concurrency" in values:
        hint = "a worker is one process; batch_events says how many events it may have at once"
        checked.problem((*path, "concurrency"), f"is not for type = {WORKER}", hint)
    delivery = replace(
        hook.delivery,
        batch_events=values.get("batch_events", WORKER_BATCH_EVENTS),
        batch_age_s=values.get("batch_age", 0.0),
    )
    return replace(hook, concurrency=1, delivery=delivery)


def _plugin(
    hook: HookSettings,
    checked: Checked,
    path: Path,
    values: Values,
    sections: list[Path],
    check_plugin: CheckPlugin,
) -> HookSettings:
    for wrong in sections[1:]:
        checked.problem(wrong, "is the second section of options", f"one [[[{_OPTIONS}]]] has them all")
    section = sections[0] if sections else path
    options = dict(checked.given[section]) if sections else {}
    whole = not sections or len(options) == len(checked.tree.sections[section])  # the others have been complained about
    if hook.target and whole:
        try:
            check_plugin(hook.target, hook.id, options)
        except PluginError as error:
            at_options = error.key == _OPTIONS
            checked.problem(section if at_options else (*path, "name"), str(error), error.hint)
    return replace(hook, options=tuple(options.items()), run_in_thread=values.get("run_in_thread", hook.run_in_thread))
