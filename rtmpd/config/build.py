"""Makes the frozen settings from checked values, with checks of several options together."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ..identity import joined
from ..settings import (
    Address,
    AlertSettings,
    AppSettings,
    AppsSettings,
    DebugSettings,
    HookSettings,
    HooksSettings,
    Levels,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    QualitySettings,
    ServerSettings,
    Settings,
    TlsSettings,
)
from ..textfile import fault_of_script
from . import access, api, body, delivery, outputs, process, sinks
from .auth import CheckAuth, CommandLineAuth, auth_of_section, http_of_section
from .body import CheckTemplate
from .check import Checked, Values
from .entries import AuthFlag, HookFlag, HookOptionFlag, Origin, Path
from .filters import CheckCondition, CommandLineFilter, of_section
from .options import MANY
from .sinks import PLUGIN, WORKER, CheckPlugin
from .store import store_of
from .values import BadValue, nearest, url

SCRIPT = "script"
WEBHOOK = "webhook"
STDIO = "stdio"

_HOOK_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TARGET_KEY = {SCRIPT: "path", WORKER: "path", WEBHOOK: "url", PLUGIN: "name"}


def build(
    checked: Checked,
    hook_flags: Sequence[HookFlag],
    hook_options: Sequence[HookOptionFlag],
    event_types: Collection[str],
    check_condition: CheckCondition,
    auth_flags: Sequence[AuthFlag],
    check_auth: CheckAuth,
    check_jwt_key: access.CheckKey,
    check_template: CheckTemplate,
    check_plugin: CheckPlugin,
) -> Settings:
    """The settings; problems and warnings go to ``checked``. With problems the result is of no use.
    Looks at the certificate and script files."""
    auth = CommandLineAuth(checked, auth_flags, check_auth)
    hooks = _Hooks(checked, hook_options, event_types, check_condition, auth, check_template, check_plugin)
    apps = _apps(checked)
    outputs.check(checked, apps)
    settings = Settings(
        server=_server(checked),
        limits=LimitSettings(**checked.fields("limits")),
        apps=apps,
        access=access.build(checked, apps, check_jwt_key),
        quality=QualitySettings(**checked.fields("quality")),
        hooks=hooks.build(hook_flags),
        log=LogSettings(**checked.fields("log")),
        debug=DebugSettings(**checked.fields("debug")),
        metrics=MetricsSettings(**checked.fields("metrics")),
        alerts=_alerts(checked),
        http=api.of_section(checked),
        playback=api.playback_of(checked),
        daemon=process.of_section(checked),
    )
    limits = settings.limits
    if limits.reassembly_bytes < limits.message_bytes:
        checked.problem(("limits", "reassembly_size"), "is smaller than message_size", "one message must fit")
    return settings


# --- [server] -----------------------------------------------------------------------------------


def _server(checked: Checked) -> ServerSettings:
    plain: tuple[Address, ...] = checked.value("server", "listen")
    secure = tuple(replace(address, tls=True) for address in checked.value("server", "tls_listen"))
    tls = TlsSettings(cert=checked.value("server", "tls_cert"), key=checked.value("server", "tls_key"))
    process.check_tls(checked, "server", secure, tls)
    _check_listeners(checked, (*plain, *secure))
    process.check_reconnect_url(checked)
    others = checked.fields("server", "listen", "tls_listen", "tls_cert", "tls_key")
    return ServerSettings(listen=(*plain, *secure), tls=tls, **others)


def _check_listeners(checked: Checked, listeners: tuple[Address, ...]) -> None:
    if not listeners:
        checked.problem(("server", "listen"), "there is no address to listen on", "write listen = :1935")
    taken: list[Address] = []
    for address in listeners:
        for other in taken:
            same_host = address.host == other.host or "" in (address.host, other.host)
            if same_host and address.port == other.port != 0:
                key = "tls_listen" if address.tls else "listen"
                checked.problem(("server", key), f"{address} is listened on twice", f"{other} takes it already")
                break
        taken.append(address)


# --- [apps] -------------------------------------------------------------------------------------


def _apps(checked: Checked) -> AppsSettings:
    default = AppSettings(**checked.fields("apps", "served"))
    named = []
    for name, values in checked.subsections("apps").items():
        if set(name) & set("*?") or set(name) >= set("[]"):
            checked.problem(("apps", name), "is matched by its exact name", "globs stand in served")
        elif (path := joined(name)) != name:
            checked.problem(("apps", name), "can never be an application", f"write [[{path or 'NAME'}]]")
        named.append((name, replace(default, **_fields(checked, ("apps", MANY), values))))
    apps = AppsSettings(served=checked.value("apps", "served"), default=default, named=tuple(named))
    for glob in apps.served:
        if (path := joined(glob)) != glob:
            text = f"has {glob}, which can never be an application"
            checked.problem(("apps", "served"), text, f"write {path or '*'}")
    for name, _ in named:
        if not apps.serves(name):
            checked.warning(("apps", name), "is not in served, so its streams are refused", f"add {name} to served")
    return apps


def _fields(checked: Checked, path: Path, values: Values) -> Values:
    section = checked.spec.find(path)
    return {option.field: values[key] for key, option in section.options.items() if key in values} if section else {}


# --- [alerts] -----------------------------------------------------------------------------------


def _alerts(checked: Checked) -> AlertSettings:
    """Resolve an empty threshold: it is off, except that of connections, which follows the limit."""
    for path in checked.value("alerts", "disk_paths"):
        if not os.path.isabs(path):
            checked.problem(("alerts", "disk_paths"), f"{path} is not an absolute path", "begin it with /")
    values = checked.fields("alerts", "connections")
    values |= {key: Levels() for key, value in values.items() if value is None}
    return AlertSettings(connections=checked.value("alerts", "connections"), **values)


# --- [hooks] ------------------------------------------------------------------------------------


class _Hooks:
    """The hooks of the files, then those of the command line, then standard output."""

    def __init__(
        self,
        checked: Checked,
        options: Sequence[HookOptionFlag],
        event_types: Collection[str],
        check_condition: CheckCondition,
        auth: CommandLineAuth,
        check_template: CheckTemplate,
        check_plugin: CheckPlugin,
    ) -> None:
        self.checked = checked
        self.check_plugin = check_plugin
        self.check_template = check_template
        self.global_auth = auth
        self.check_condition = check_condition
        about_delivery = [flag for flag in options if delivery.is_about_delivery(checked.spec, flag)]
        self.global_delivery = delivery.CommandLineDelivery(checked, about_delivery)
        filters = [flag for flag in options if flag not in about_delivery]
        self.global_filter = CommandLineFilter(checked, filters, check_condition)
        self.known_types = sorted(event_types)
        self.timeout_s: float = checked.value("hooks", "timeout")
        self.concurrency: int = checked.value("hooks", "concurrency")

    def build(self, flags: Sequence[HookFlag]) -> HooksSettings:
        named = self.checked.subsections("hooks")
        of_files = [hook for name, values in named.items() if (hook := self._named(name, values))]
        of_flags = [self._flag(flag) for flag in flags]
        if form := self.checked.value("hooks", "stdio_format"):
            from_file = self.checked.tree.origin(("hooks",), "stdio_format").directory
            (of_files if from_file else of_flags).append(self._hook(STDIO, STDIO, form, ()))
        self.global_delivery.warn_if_idle(of_flags)
        of_flags = [self.global_delivery.applied(hook) for hook in of_flags]
        hooks = self._filtered(of_files, self.global_auth.applied(of_flags))
        self._check_ids([*named, *(flag.id for flag in flags), *([STDIO] if form else [])])
        store = store_of(self.checked, hooks)
        return HooksSettings(
            tuple(hooks),
            self.concurrency,
            self.checked.value("hooks", "drain"),
            attempt_log=self.checked.value("hooks", "attempt_log"),
            audit=sinks.audit(self.checked),
            store=store,
            node=self.checked.value("hooks", "node"),
        )

    def _filtered(self, of_files: list[HookSettings], of_flags: list[HookSettings]) -> list[HookSettings]:
        """All hooks, with what the filters of the command line say."""
        flags = self.global_filter
        flags.warn_if_idle([*of_files, *of_flags], len(of_flags))
        self._check_event_types((), flags.event_types, flags.origin_of_events())
        return [flags.applied(hook, False) for hook in of_files] + [flags.applied(hook, True) for hook in of_flags]

    def _hook(self, id: str, type: str, target: str, event_types: tuple[str, ...]) -> HookSettings:
        return HookSettings(id, type, target, event_types, self.timeout_s, self.concurrency)

    def _named(self, name: str, values: Values) -> HookSettings | None:
        path = ("hooks", name)
        if not _HOOK_NAME.fullmatch(name):
            self.checked.problem(path, "is not a valid name for a hook", "use letters, digits, _ and -, at most 64")
        type = values.get("type")
        if type is None:
            if "type" not in self.checked.tree.sections[path]:
                self.checked.problem(path, "has no type", "write type = script, webhook or another one")
            return None
        for key in dict.fromkeys(_TARGET_KEY.values()):
            if key in values and key != _TARGET_KEY.get(type):
                types = " and ".join(f"type = {other}" for other in _TARGET_KEY if _TARGET_KEY[other] == key)
                self.checked.problem((*path, key), f"is for {types}", f"this hook has type = {type}")
        target = self._target(path, type, values)
        events: tuple[str, ...] = values.get("event_types", ())
        self._check_event_types((*path, "event_types"), events)
        hook = replace(
            self._hook(name, type, target, events), filter=of_section(self.checked, path, values, self.check_condition)
        )
        own = {key: value for key, value in values.items() if key in ("timeout", "concurrency", "queue")}
        hook = replace(hook, **_fields(self.checked, ("hooks", MANY), own))
        hook = replace(hook, http=http_of_section(self.checked, path, type, values))
        hook = auth_of_section(self.checked, path, hook, self.global_auth.check_auth)
        hook = delivery.applied(hook, self.checked, path, values)
        hook = body.applied(hook, self.checked, path, values, self.check_template)
        return sinks.applied(hook, self.checked, path, values, self.check_plugin)

    def _target(self, path: Path, type: str, values: Values) -> str:
        if type == STDIO:
            form: str = values.get("format", "json")
            return form
        key = _TARGET_KEY[type]
        target: str = values.get(key, "")
        if not target and key not in self.checked.tree.sections[path]:
            self.checked.problem(path, f"has no {key}", f"type = {type} needs one")
        elif not target and key in values:
            self.checked.problem((*path, key), "is empty", f"type = {type} needs one")
        elif target and key == "path" and not os.path.isfile(target):
            self.checked.problem((*path, key), f"{target} is not a file", "name a program that exists")
        if key == "path" and (fault := fault_of_script(target)):
            self.checked.warning((*path, key), f"{target} will not run: {fault}")
        return target

    def _flag(self, flag: HookFlag) -> HookSettings:
        """A hook of the command line. A script that is not there yet has never kept the server from
        starting, so it does not here."""
        if flag.type == WEBHOOK:
            try:
                url(flag.target)
            except BadValue as error:
                self.checked.problems.append(flag.origin.problem((), str(error), error.hint))
        elif not os.path.isfile(flag.target):
            warning = flag.origin.problem((), f"{flag.target} is not a file", "the hook will fail until it is")
            self.checked.warnings.append(warning)
        elif fault := fault_of_script(flag.target):
            self.checked.warnings.append(flag.origin.problem((), f"{flag.target} will not run: {fault}"))
        self.checked.tree.origins.setdefault(("hooks", flag.id), flag.origin)
        self._check_event_types((), (flag.event_type,), flag.origin)
        return self._hook(flag.id, flag.type, flag.target, (flag.event_type,))

    def _check_event_types(self, path: Path, patterns: tuple[str, ...], origin: Origin | None = None) -> None:
        """An unknown name is a warning: configurations with a typing error have always started."""
        for pattern in patterns if self.known_types else ():
            if any(fnmatchcase(known, pattern) for known in self.known_types):
                continue
            message = f"no event is called {pattern}; the hook will never run for it"
            hint = nearest(pattern, self.known_types)
            if not hint.startswith("known"):
                hint += f" known here: {', '.join(self.known_types)}"
            if origin:
                self.checked.warnings.append(origin.problem((), message, hint))
            else:
                self.checked.warning(path, message, hint)

    def _check_ids(self, ids: list[str]) -> None:
        for id in dict.fromkeys(ids):
            if ids.count(id) > 1:
                self.checked.problem(("hooks", id), "another hook has this name", "a flag or stdio_format made it")
