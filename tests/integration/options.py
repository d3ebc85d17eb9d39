"""A second valid value for every option of the table, and a configuration in which one option at a time has it."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final

from rtmpd.config.options import MANY, Option, SectionSpec, spec
from rtmpd.event.event import Event
from rtmpd.hook.sink.plugin import GROUP

Place = tuple[str, ...]
Tree = dict[Place, dict[str, str]]

_SECRET: Final = "0123456789abcdef0123456789abcdef"
_FIRST_OF_A_KIND: Final = {
    "burst": "7",
    "conditions": "type!=nonsense",
    "content_type": "text/x-second",
    "delays": "20ms,40ms",
    "destinations": "rtmp://127.0.0.1:9/second",
    "header": "X-Second",
    "headers": '"X-Second: yes"',
    "latencies": "3s, 6s",
    "levels": "81, 96",
    "modes": "open, token",
    "names": "*, second",
    "networks": "loopback",
    "node": "second",
    "octal": "027",
    "sources": "rtmp://127.0.0.1:9/second",
    "origins": "https://second.example",
    "pairs": "second=yes",
    "rate": "1000/1m",
    "record_path": "{{app}}-{{name}}.flv",
    "secrets": _SECRET,
    "text": "second",
    "texts": _SECRET,
    "tokens": f"me:{_SECRET}",
    "url": "http://127.0.0.1:9/second",
}
#: Where the kind says too little. {NAME} is what the test has; other keys of the same section stand behind.
_VALUES: Final[dict[str, str | tuple[str, dict[str, str]]]] = {
    "server.listen": "127.0.0.1:0, 127.0.0.1:{port}",
    "server.tls_listen": "127.0.0.1:0, 127.0.0.1:{port}",
    "server.tls_cert": "{cert}.second",
    "server.tls_key": "{key}.second",
    "server.reconnect_url": "rtmp://second.example/live",
    "apps.served": "live, second",
    "apps.record": ("all", {"record_dir": "{home}"}),
    "apps.record_dir": "{home}",
    "apps.second.record": ("all", {"record_dir": "{home}"}),
    "apps.second.record_dir": "{home}",
    "apps.publish_access": ("open, token", {"publish_tokens": f"me:{_SECRET}"}),
    "apps.play_access": ("open, token", {"play_tokens": f"me:{_SECRET}"}),
    "apps.second.publish_access": ("open, token", {"publish_tokens": f"me:{_SECRET}"}),
    "apps.second.play_access": ("open, token", {"play_tokens": f"me:{_SECRET}"}),
    "access.token_file": "{tokens}",
    "access.callback_ca_file": "{cert}",
    "access.jwt_algorithm": ("HS384", {"jwt_keys": _SECRET * 2}),
    "hooks.audit_file": ("{home}/audit", {"audit_key": _SECRET}),
    "hooks.audit_key": (_SECRET, {"audit_file": "{home}/audit"}),
    "hooks.prog.type": "worker",
    "hooks.prog.path": "/bin/false",
    "hooks.plug.name": "other",
    "hooks.plug.run_in_thread": "yes",
    "hooks.guinea.url": "{url}&second=yes",
    "hooks.guinea.format": "cloudevents-structured",
    "hooks.guinea.template": "'{{{{type}}}}'",
    "hooks.guinea.content_type": ("text/x-second", {"template": "'{{{{type}}}}'"}),
    "hooks.guinea.schema": "2",
    "hooks.guinea.batch_age": ("5ms", {"batch_events": "9"}),
    "hooks.guinea.batch_bytes": ("100k", {"batch_events": "9"}),
    "hooks.guinea.guarantee_level": "none",
    "hooks.guinea.rate_burst": ("7", {"rate_limit": "1000/1m"}),
    "hooks.guinea.client_cert": ("{cert}", {"client_key": "{key}"}),
    "hooks.guinea.client_key": ("{key}.second", {"client_cert": "{cert}"}),
    "hooks.guinea.ca_file": "{cert}",
    "hooks.guinea.proxy": "http://127.0.0.1:9",
    "log.file": "{home}/log",
    "metrics.statsd": "127.0.0.1:{port}",
    "alerts.disk_paths": "{home}",
    "http.listen": "127.0.0.1:0, 127.0.0.1:{http_port}",
    "http.tls_listen": "127.0.0.1:0, 127.0.0.1:{http_port}",
    "http.tls_cert": "{cert}.second",
    "http.tls_key": "{key}.second",
    "http.socket": "{home}/second.sock",
    "http.socket_group": grp.getgrgid(os.getegid()).gr_name,
    "http.token_file": "{tokens}",
    "playback.listen": "127.0.0.1:0, 127.0.0.1:{playback_port}",
    "playback.tls_listen": "127.0.0.1:0, 127.0.0.1:{playback_port}",
    "playback.tls_cert": "{cert}.second",
    "playback.tls_key": "{key}.second",
    "playback.hls_dir": "{home}/hls",
    "daemon.pid_file": "{home}/pid",
    "daemon.user": "root",
    "daemon.group": "root",
    "daemon.working_directory": "{home}",
    "debug.backdoor": "{home}/backdoor",
    "store.path": "{home}/second.db",
}
#: The plugins, as packages would offer them.
PLUGINS: Final = [EntryPoint(name.lower(), f"{__name__}:{name}", GROUP) for name in ("Quiet", "Other")]
_API_KEY = {"type": "api_key", "key": "first"}
_HMAC = {"type": "hmac", "secret": _SECRET}
_JWT = {"type": "jwt", "secret": _SECRET}
_OAUTH2 = {"type": "oauth2", "client_id": "a", "client_secret": "b", "token_url": "http://127.0.0.1:9/token"}
_BASIC = {"type": "basic", "username": "a", "password": "b"}
_AUTH: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "type": ("api_key", _API_KEY),
    "key": ("second", _API_KEY),
    "header": ("X-Second", _API_KEY),
    "secret": (_SECRET, _HMAC),
    "secrets": (_SECRET, {"type": "standard"}),
    "algorithm": ("sha1", _HMAC),
    "key_id": ("second", {"type": "http_signature", "secret": _SECRET}),
    "issuer": ("second", _JWT),
    "subject": ("second", _JWT),
    "audience": ("second", _JWT),
    "claims": ("second=yes", _JWT),
    "ttl": ("2h", _JWT),
    "client_id": ("second", _OAUTH2),
    "client_secret": ("second", _OAUTH2),
    "token_url": ("http://127.0.0.1:9/second", _OAUTH2),
    "scopes": ("second", _OAUTH2),
    "client_auth": ("body", _OAUTH2),
    "username": ("second", _BASIC),
    "password": ("second", _BASIC),
}
#: Whose the options of some kinds of hooks are; all others are those of a webhook.
_HOOK_OF: Final = {"type": "prog", "path": "prog", "name": "plug", "run_in_thread": "plug"}


class Quiet:
    """A plugin that takes everything."""

    def __init__(self, id: str, options: object) -> None:
        """Nothing is kept."""

    def execute(self, event: Event, deadline: float) -> None:
        """It is taken."""

    def close(self) -> None:
        """Nothing is held."""


class Other(Quiet):
    """The same under another name."""


@dataclass(frozen=True)
class Step:
    """One option with its second value. ``place`` is its section in a file, ``others`` stand beside it."""

    option: Option
    place: Place
    value: str
    others: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return ".".join((*self.place, self.option.key))

    def applied(self, base: Tree) -> Tree:
        """``base`` with this option changed."""
        given = base.get(self.place, {})
        return {**base, self.place: {**given, **self.others, self.option.shown_key: self.value}}


def steps(facts: dict[str, str]) -> Iterator[Step]:
    """Every option of the table, in its order."""
    for first in spec().sections.values():
        for section in first.family():
            for option in section.options.values():
                yield _step(section, option, facts)


def _step(section: SectionSpec, option: Option, facts: dict[str, str]) -> Step:
    place = _place(section, option)
    value, others = _second(".".join((*place, option.key)), option, section)
    return Step(option, place, value.format(**facts), {key: text.format(**facts) for key, text in others.items()})


def _place(section: SectionSpec, option: Option) -> Place:
    if MANY not in section.path:
        return section.path
    if section.path[0] != "hooks":
        return tuple("second" if part == MANY else part for part in section.path)
    inner = section.path[2:]
    if inner:
        return ("hooks", "plug" if inner == ("options",) else "guinea", *inner)
    return ("hooks", _HOOK_OF.get(option.key, "guinea"))


def _second(name: str, option: Option, section: SectionSpec) -> tuple[str, dict[str, str]]:
    if section.path[-1] == "auth":
        value, others = _AUTH[option.key]
        return value, others
    if option.kind == "networks" and "deny" in option.key:
        return "192.0.2.0/24", {}
    found = _VALUES.get(name) or _FIRST_OF_A_KIND.get(option.kind) or _other(option)
    return found if isinstance(found, tuple) else (found, {})


def _other(option: Option) -> str:
    words = [word.strip(' "') for word in option.arguments.split(",")]
    if option.kind == "word":
        return next(word for word in words if word and word != option.default)
    if option.kind == "switch":
        return "no" if option.default == "yes" else "yes"
    if option.kind == "free":
        return "second"
    bounds = dict(word.split("=") for word in words if "=" in word)
    for wanted in (_doubled(option), bounds.get("max", ""), bounds.get("min", "")):
        if wanted and _fits(option, wanted) and option.check(wanted) != option.default_value():
            return wanted
    raise AssertionError(f"{option.key} ({option.kind}, {option.help}) needs a second value in {Path(__file__).name}")


def _doubled(option: Option) -> str:
    default = option.default_value()
    if not isinstance(default, (int, float)) or not default:
        return ""
    return f"{2 * default}ms" if option.kind == "milliseconds" else str(2 * default)


def _fits(option: Option, text: str) -> bool:
    try:
        option.check(text)
    except Exception:  # noqa: BLE001  whatever a check thinks of it
        return False
    return True


def written(tree: Tree) -> str:
    """The tree as a file."""
    rows = []
    firsts = dict.fromkeys(place[0] for place in tree)
    for first in firsts:
        for place in sorted(place for place in tree if place[0] == first):
            rows.append("[" * len(place) + place[-1] + "]" * len(place))
            rows += [f"{key} = {value}" for key, value in tree[place].items()]
    return "\n".join(rows) + "\n"
