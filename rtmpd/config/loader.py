"""Loads files and flags into ``Settings``, or collects every problem."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ConfigError, Problem
from ..settings import Settings
from . import files
from .access import CheckKey
from .auth import CheckAuth
from .body import CheckTemplate
from .build import build
from .check import Checked, check
from .entries import Entry, Origin, Tree
from .expand import expand
from .filters import CheckCondition
from .flags import CommandLine
from .options import spec
from .sinks import CheckPlugin
from .values import BadValue

_UNEXPANDED = re.compile(r"\$[A-Za-z_]\w*|%[A-Za-z_]\w*%")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read. ``warnings`` are oddities that do not keep the daemon from starting; ``checked``
    knows where each value came from."""

    settings: Settings
    warnings: tuple[Problem, ...]
    checked: Checked


def _any_condition(text: str) -> None:
    """Conditions are left to who evaluates them."""


def _any_auth(auth: object, before: object, headers: object, url: str) -> str:
    """Authentication is left to who signs."""
    return ""


def _any_key(algorithm: str, key: str) -> str:
    """Keys are left to who verifies with them."""
    return ""


def _any_template(template: str, content_type: str) -> None:
    """Templates are left to who sends them."""


def _any_plugin(name: str, hook_id: str, options: object) -> None:
    """Plugins are left to who loads them."""


def load(
    command_line: CommandLine,
    event_types: Collection[str] = (),
    environ: Mapping[str, str] = os.environ,
    check_condition: CheckCondition = _any_condition,
    check_auth: CheckAuth = _any_auth,
    check_jwt_key: CheckKey = _any_key,
    check_template: CheckTemplate = _any_template,
    check_plugin: CheckPlugin = _any_plugin,
    text: str | None = None,
) -> Loaded:
    """Read the configuration file of ``command_line``, if it names one, then its flags, which win.

    ``event_types`` are the names a hook can be bound to; without them names are not checked.
    ``check_condition`` raises FilterError for the text of a condition that cannot be used, ``check_auth``
    and ``check_jwt_key`` CredentialError for a way of authentication and for a key that cannot be, ``check_template``
    TemplateError for a template. With ``text`` the configuration file is not read: that is what it would say. Raises
    ``ConfigError`` with all problems of the flags and of all files. Waits for the disk.
    """
    problems = list(command_line.problems)
    tree = Tree()
    if command_line.config and command_line.config.endswith((".yaml", ".yml")):
        hint = f"rtmpd migrate hooks-yaml {command_line.config} -o rtmpd.ini writes one"
        message = f"{command_line.config} is YAML, and rtmpd reads INI"
        raise ConfigError([*problems, Problem("-c", "", message, "", hint)])
    if command_line.config and text is not None:
        files.read_text(command_line.config, text, tree, problems)
    elif command_line.config:
        files.read(command_line.config, tree, problems)
    command_line_as_written = command_line
    command_line = _expanded(command_line, environ, problems)
    for override in command_line.overrides:
        tree.put((override.section,), override.key, override.entry)
    checked = check(spec(), tree, environ, problems)
    checked.command_line = command_line_as_written
    settings = build(
        checked,
        command_line.hooks,
        command_line.hook_options,
        event_types,
        check_condition,
        command_line.auth,
        check_auth,
        check_jwt_key,
        check_template,
        check_plugin,
    )
    if problems:
        raise ConfigError(sorted(problems, key=_place))
    return Loaded(settings, tuple(checked.warnings), checked)


def one_value(config: str, section: str, key: str, environ: Mapping[str, str] = os.environ) -> Any:
    """The value of one option in a configuration file and its ``conf.d``, whatever is wrong with the others; its
    default if it is not set. Raises ConfigError with what keeps this one from being known."""
    problems: list[Problem] = []
    tree = Tree()
    files.read(config, tree, problems)
    if problems and (section,) not in tree.sections:
        raise ConfigError(problems)
    path = (section,)
    only = Tree()
    if key in tree.sections.get(path, {}):
        only.put(path, key, tree.sections[path][key])
    problems = []
    value = check(spec(), only, environ, problems).value(section, key)
    if problems:
        raise ConfigError(problems)
    return value


def _expanded(line: CommandLine, environ: Mapping[str, str], problems: list[Problem]) -> CommandLine:
    """The command line with the references of its values replaced, as in a file; relative names of files start from the
    working directory."""

    def text(value: str, origin: Origin) -> str:
        try:
            if _UNEXPANDED.fullmatch(value):
                hint = f"write ${{{value[1:]}}}, or let the shell replace it: \"{value}\""
                raise BadValue("looks like a variable that the shell has not replaced", hint)
            return expand(value, environ, os.getcwd())
        except BadValue as error:
            problems.append(origin.problem((), str(error), error.hint))
            return value

    def entry(given: Entry) -> Entry:
        items = given.value
        found = text(items, given.origin) if isinstance(items, str) else [text(one, given.origin) for one in items]
        return replace(given, value=found)

    return replace(
        line,
        overrides=tuple(replace(one, entry=entry(one.entry)) for one in line.overrides),
        hooks=tuple(replace(one, target=text(one.target, one.origin)) for one in line.hooks),
        hook_options=tuple(replace(one, entry=entry(one.entry)) for one in line.hook_options),
        auth=tuple(replace(one, entry=entry(one.entry)) for one in line.auth),
    )


def _place(problem: Problem) -> tuple[str, int]:
    """Flags first, as they were found; then file by file, line by line."""
    file, colon, number = problem.where.rpartition(":")
    if colon and number.isdigit():
        return file, int(number)
    return ("" if problem.where.startswith("-") else problem.where), 0
