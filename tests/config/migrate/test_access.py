"""Whoever the old server refuses, the new file refuses: small configurations at random, each beside an evaluator of the
old server's rules, and the forms that were once carried over without their condition."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtmpd.config import flags
from rtmpd.config.loader import load
from rtmpd.config.migrate import flags as command_line
from rtmpd.config.migrate import mediamtx, nginx, srs
from rtmpd.config.migrate.draft import ABSENT, Draft
from rtmpd.identity import Applications, segments
from rtmpd.server.access.access import Access
from rtmpd.server.access.question import Question
from tests.support.asking import StandingClock

ACTIONS = ("publish", "play")
ADDRESSES = ("10.0.0.1", "10.0.0.9", "192.0.2.1", "127.0.0.1", "2001:db8::1", "::1")
NETWORKS = ("all", "10.0.0.1", "10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "127.0.0.1")
URLS = ("http://a.example/x", "http://b.example/y")
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Migrated:
    """What the file of a draft admits. ``admits`` has the URLs of the endpoints that say yes."""

    def __init__(self, draft: Draft, admits: tuple[str, ...] = (), refusal: tuple[int, bytes] = (403, b"")) -> None:
        self._settings = load(flags.parse(["-c", "rtmpd.ini"]), environ={}, text=draft.settings()).settings

        def ask_for(url: str) -> Any:
            return lambda body, timeout_s: (200, b"0") if url in admits else refusal

        self._rules = Access(self._settings.access, self._settings.apps, ask_for, StandingClock())

    def admits(self, action: str, key: str, address: str, token: str = "") -> bool:
        stream = Applications(self._settings.apps).identify(segments(key))
        if not self._settings.apps.serves(stream.app):
            return False
        return self._rules.rule(stream.app, action).judge(Question(action, stream, token, address, 1)).allowed


def within(address: str, network: str) -> bool:
    if network == "all":
        return True
    found = ipaddress.ip_network(network)
    client = ipaddress.ip_address(address)
    return client.version == found.version and client in found


# --- nginx ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """``rules``: (verb, action or "", network); ``asks``: URLs of on_publish, on_play and on_connect by their names."""

    rules: tuple[tuple[str, str, str], ...]
    asks: dict[str, str]
    live: str

    def text(self) -> str:
        rows = [f"{verb} {action} {network};" for verb, action, network in self.rules]
        rows += [f"{name} {url};" for name, url in self.asks.items()]
        return " ".join([*rows, f"live {self.live};" if self.live else ""])


rules = st.lists(
    st.tuples(st.sampled_from(("allow", "deny")), st.sampled_from(("publish", "play", "")), st.sampled_from(NETWORKS)),
    max_size=3,
).map(tuple)
blocks = st.builds(
    Block,
    rules,
    st.dictionaries(st.sampled_from(("on_publish", "on_play", "on_connect")), st.sampled_from(URLS), max_size=2),
    st.sampled_from(("on", "on", "off", "")),
)
plain = st.just(Block((), {}, ""))
servers = st.tuples(
    st.sampled_from(("1935", "1936", "127.0.0.1:1937")),
    blocks | plain,
    st.dictionaries(st.sampled_from(("live", "record")), blocks, min_size=1, max_size=2),
)


def nginx_admits(stack: tuple[Block, ...], action: str, address: str, says_yes: tuple[str, ...]) -> bool:
    """``stack`` is the application, its server, and the rtmp block."""
    if next((block.live for block in stack if block.live), "off") != "on":
        return False
    for block in stack:
        for verb, for_action, network in block.rules:
            if for_action in ("", action) and within(address, network):
                if verb == "deny":
                    return False
                break
        else:
            continue
        break
    for name in (f"on_{action}", "on_connect"):
        url = next((block.asks[name] for block in stack if name in block.asks), None)
        if url is not None and url not in says_yes:
            return False
    return True


@QUICK
@given(blocks | plain, st.lists(servers, min_size=1, max_size=2), st.sets(st.sampled_from(URLS)).map(tuple))
def test_whoever_nginx_refuses_is_refused(
    tmp_path: Path, rtmp: Block, parts: list[Any], says_yes: tuple[str, ...]
) -> None:
    text = "rtmp { " + rtmp.text().replace("live off;", "") + " "
    for listen, server, apps in parts:
        inner = " ".join(f"application {name} {{ {block.text()} }}" for name, block in apps.items())
        text += f"server {{ listen {listen}; {server.text()} {inner} }} "
    (tmp_path / "nginx.conf").write_text(text + "}\n")
    migrated = Migrated(nginx.migrate(str(tmp_path / "nginx.conf")), says_yes)
    rtmp = Block(rtmp.rules, rtmp.asks, rtmp.live.replace("off", ""))
    apart = len({listen.startswith("127.") for listen, _, _ in parts}) > 1  # else rtmpd listens there alone too
    for app in ("live", "record", "other"):
        places = [(listen, (apps[app], server, rtmp)) for listen, server, apps in parts if app in apps]
        for action in ACTIONS:
            for address in ADDRESSES:
                theirs = bool(places) and all(
                    nginx_admits(stack, action, address, says_yes)
                    and (not apart or not listen.startswith("127.") or address in ("127.0.0.1", "::1"))
                    for listen, stack in places
                )
                assert theirs or not migrated.admits(action, f"{app}/a", address), text


@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        ("live on; allow publish 10.0.0.0/8; deny publish all;", {("publish", "10.0.0.1"), ("play", "192.0.2.1")}),
        ("live on; allow publish play 10.0.0.0/8; deny all;", {("publish", "10.0.0.1"), ("play", "10.0.0.1")}),
        ("live on; on_publish http://a.example/x; on_play http://b.example/y;", {("publish", "10.0.0.1")}),
        ("live on; on_connect http://b.example/y;", set()),
        ("live on; allow publish localhost; deny play all;", set()),
        ("live on; allow publish ${OFFICE}; deny publish all;", {("play", "10.0.0.1")}),
    ],
)
def test_what_nginx_admits_is_admitted_where_it_can_be_written(
    tmp_path: Path, text: str, admitted: set[tuple[str, str]]
) -> None:
    path = tmp_path / "nginx.conf"
    path.write_text(f"rtmp {{ server {{ listen 1935; application live {{ {text} }} }} }}")
    migrated = Migrated(nginx.migrate(str(path)), ("http://a.example/x",))
    for action, address in {*admitted, *((action, "198.51.100.1") for action in ACTIONS)}:
        wanted = (action, address) in admitted or (action, "192.0.2.1") in admitted
        assert migrated.admits(action, "live/a", address) is wanted or (action, address) not in admitted
    assert all(migrated.admits(action, "live/a", address) for action, address in admitted)
    assert not migrated.admits("publish", "other/a", "10.0.0.1")


# --- SRS ------------------------------------------------------------------------------------------

secure = st.none() | st.lists(
    st.tuples(st.sampled_from(("allow", "deny")), st.sampled_from(ACTIONS), st.sampled_from(NETWORKS[:4])), max_size=3
)
hooks = st.dictionaries(
    st.sampled_from(("on_publish", "on_play", "on_connect")),
    st.lists(st.sampled_from(URLS), min_size=1, max_size=2).map(tuple),
    max_size=2,
)


def srs_admits(rules: Any, asks: Any, action: str, address: str, says_yes: tuple[str, ...]) -> bool:
    """srs_app_security.cpp, and every URL of on_connect and of the action."""
    if rules is not None:
        fitting = {verb for verb, of, network in rules if of == action and within(address, network)}
        if "deny" in fitting or not rules:
            return False
        if "allow" not in fitting and any(verb == "allow" for verb, _, _ in rules):
            return False
    return all(url in says_yes for name in (f"on_{action}", "on_connect") for url in asks.get(name, ()))


@QUICK
@given(st.lists(st.tuples(secure, hooks), min_size=1, max_size=2), st.sets(st.sampled_from(URLS)).map(tuple))
def test_whoever_srs_refuses_is_refused(tmp_path: Path, vhosts: list[Any], says_yes: tuple[str, ...]) -> None:
    text = "listen 1935;\n"
    for number, (rules, asks) in enumerate(vhosts):
        text += f"vhost {'__defaultVhost__' if not number else 'b.example'} {{\n"
        if rules is not None:
            said = " ".join(f"{verb} {action} {network};" for verb, action, network in rules)
            text += f"security {{ enabled on; {said} }}\n"
        said = " ".join(f"{name} {' '.join(urls)};" for name, urls in asks.items())
        text += f"http_hooks {{ enabled on; {said} }}\n}}\n"
    (tmp_path / "srs.conf").write_text(text)
    migrated = Migrated(srs.migrate(str(tmp_path / "srs.conf")), says_yes, (200, b'{"code": 1}'))
    for action in ACTIONS:
        for address in ADDRESSES:
            theirs = all(srs_admits(rules, asks, action, address, says_yes) for rules, asks in vhosts)
            assert theirs or not migrated.admits(action, "live/a", address), text


@pytest.mark.parametrize(
    ("vhost", "admitted"),
    [
        ("security { enabled on; deny publish 10.0.0.5; }", {"publish", "play"}),
        ("security { enabled on; allow publish 10.0.0.0/8; allow play all; }", {"publish", "play"}),
        ("security { enabled on; allow publish 10.0.0.0/8; }", {"publish"}),
        ("security { enabled on; allow publish nobody; }", set()),
        ("security { enabled on; }", set()),
        ("security { enabled off; deny publish all; }", {"publish", "play"}),
        ("refer { enabled on; all github.com; }", set()),
        ("cluster { mode remote; token_traverse on; }", set()),
        ("enabled off;", set()),
        ("http_hooks { enabled on; on_play http://no.example/; }", {"publish"}),
        ("http_hooks { enabled on; on_publish http://a.example/x http://a.example/z; }", {"play"}),
        ("", {"publish", "play"}),
    ],
)
def test_forms_of_srs(tmp_path: Path, vhost: str, admitted: set[str]) -> None:
    (tmp_path / "srs.conf").write_text(f"listen 1935;\nvhost __defaultVhost__ {{ {vhost} }}\n")
    migrated = Migrated(srs.migrate(str(tmp_path / "srs.conf")), ("http://a.example/x", "http://a.example/z"))
    assert {action for action in ACTIONS if migrated.admits(action, "live/a", "10.0.0.1")} == admitted


def test_srs_without_a_virtual_host_serves_nobody(tmp_path: Path) -> None:
    (tmp_path / "srs.conf").write_text("listen 1935;\n")
    assert not Migrated(srs.migrate(str(tmp_path / "srs.conf"))).admits("play", "live/a", "10.0.0.1")


# --- MediaMTX -------------------------------------------------------------------------------------

PASSWORDS = ("", "0123456789abcdef", "pass phrase *", "it's \"b\", #1")
STREAMS = ("live/a", "live/b", "vip/a", "vip/x/y")
PATHS = ("", "live/a", "vip/a", "~^live/.+$", "~^vip/[ab]$", "live")

users = st.lists(
    st.fixed_dictionaries(
        {
            "user": st.sampled_from(("any", "ann", "bob")),
            "pass": st.sampled_from(PASSWORDS),
            "ips": st.lists(st.sampled_from(("10.0.0.1", "192.0.2.0/24", "127.0.0.1")), max_size=2),
            "permissions": st.lists(
                st.fixed_dictionaries(
                    {"action": st.sampled_from(("publish", "read", "api")), "path": st.sampled_from(PATHS)}
                ),
                max_size=2,
            ),
        }
    ),
    max_size=3,
)
configured = st.sampled_from(
    (
        {"all_others": None},
        {"~^live/.+$": None},
        {"live/a": None},
        {"live/a": None, "~^vip/(.*)$": None},
        {"live": None},
        {"~^li.*$": None, "vip/a": None},
    )
)


def fits(pattern: str, path: str) -> bool:
    """Whether a path of MediaMTX is meant by ``pattern``: all, a name, or a regular expression."""
    if pattern.startswith("~"):
        return bool(re.search(pattern[1:], path))
    return pattern in ("", path, "all_others")


def mediamtx_admits(config: Any, action: str, path: str, address: str, password: str) -> bool:
    """As if the client knew the name that belongs to its password."""
    if not any(fits(name, path) for name in config["paths"]):
        return False
    for user in config["authInternalUsers"]:
        if user["ips"] and not any(within(address, network) for network in user["ips"]):
            continue
        if user["pass"] != password and (user["pass"] or user["user"] != "any"):
            continue
        if any(one["action"] == action and fits(one["path"], path) for one in user["permissions"]):
            return True
    return False


def migrated_mtx(tmp_path: Path, config: Any) -> Draft:
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    (tmp_path / "mediamtx.yml").write_text(json.dumps(config))  # JSON is YAML
    return mediamtx.migrate(str(tmp_path / "mediamtx.yml"))


@QUICK
@given(users, configured)
def test_whoever_mediamtx_refuses_is_refused(tmp_path: Path, entries: Any, paths: Any) -> None:
    config = {"authInternalUsers": entries, "paths": paths}
    migrated = Migrated(migrated_mtx(tmp_path, config))
    for theirs, action in (("publish", "publish"), ("read", "play")):
        for address in ADDRESSES[:5]:
            for path in STREAMS:
                for password in PASSWORDS:
                    admits = mediamtx_admits(config, theirs, path, address, password)
                    assert admits or not migrated.admits(action, path, address, password), config


def user(**more: Any) -> dict[str, Any]:
    return {"user": "any", "permissions": [{"action": "publish"}, {"action": "read"}], **more}


STUDIO = {"user": "studio", "pass": "0123456789abcdef"}
DIGEST = base64.b64encode(hashlib.sha256(b"0123456789abcdef").digest()).decode()
ALL = {"all_others": None}
ONE = [{"action": "publish", "path": "vip/a"}]


@pytest.mark.parametrize(
    ("config", "with_token", "without"),
    [
        ({"authInternalUsers": [user()], "paths": ALL}, True, True),
        ({"paths": ALL}, True, True),
        ({"authInternalUsers": [user(ips=["192.0.2.0/24"])], "paths": ALL}, False, False),
        ({"authInternalUsers": [user(permissions=ONE)], "paths": ALL}, False, False),
        ({"authInternalUsers": [user(user="ann")], "paths": ALL}, False, False),
        ({"authInternalUsers": [user(**STUDIO)], "paths": ALL}, True, False),
        ({"authInternalUsers": [user(**STUDIO), user(ips=["192.0.2.0/24"])], "paths": ALL}, True, False),
        ({"authInternalUsers": [user(**STUDIO, ips=["192.0.2.0/24"])], "paths": ALL}, False, False),
        ({"authInternalUsers": [user(**{**STUDIO, "pass": f"sha256:{DIGEST}"})], "paths": ALL}, True, False),
        ({"authInternalUsers": [user(**{**STUDIO, "pass": "argon2:$argon2id$v=19"})], "paths": ALL}, False, False),
        ({"authInternalUsers": [], "paths": ALL}, False, False),
        ({"authInternalUsers": [user(**STUDIO)], "paths": {"live/a": None}}, True, False),
        ({"authInternalUsers": [user(**STUDIO)], "paths": {"vip/a": None}}, False, False),
        ({"authInternalUsers": [user()], "paths": {"live/a": None}}, False, False),
        ({"authInternalUsers": [user()], "paths": {"~^live/.*$": None}}, True, True),
        ({"authMethod": "jwt", "authJWTJWKS": "https://a.example/jwks", "paths": ALL}, False, False),
        ({"authMethod": "http", "authHTTPAddress": "http://no.example/", "paths": ALL}, False, False),
        ({"authMethod": "http", "authHTTPAddress": "http://yes.example/", "paths": {"live/a": None}}, False, False),
        ({"authMethod": "http", "authHTTPAddress": "http://yes.example/", "paths": ALL}, True, True),
        ({"authMethod": "internal", "authHTTPAddress": "http://no.example/", "paths": ALL}, True, True),
        ({"externalAuthenticationURL": "http://no.example/", "paths": ALL}, False, False),
        ({"paths": {"live/a": {"publishUser": "u", "publishPass": "0123456789abcdef"}}}, True, False),
        ({"paths": {"all_others": {"publishIPs": ["192.0.2.0/24"]}}}, False, False),
        ({"pathDefaults": {"publishPass": "0123456789abcdef"}, "paths": ALL}, True, False),
        ({"rtmp": False, "paths": ALL}, False, False),
    ],
)
def test_forms_of_mediamtx(tmp_path: Path, config: Any, with_token: bool, without: bool) -> None:
    migrated = Migrated(migrated_mtx(tmp_path, config), ("http://yes.example/",))
    assert migrated.admits("publish", "live/a", "10.0.0.1", "0123456789abcdef") is with_token
    assert migrated.admits("publish", "live/a", "10.0.0.1") is without


@pytest.mark.parametrize(
    "entry",
    [
        user(**STUDIO, ips=["192.0.2.0/24"]),
        user(user="ann"),
        user(permissions=[{"action": "publish", "path": "live/a"}]),
        user(**STUDIO, permissions=[{"action": "publish", "path": "~^live/[ab]$"}]),
    ],
)
def test_a_permission_that_is_left_out_is_noted_at_its_line(tmp_path: Path, entry: Any) -> None:
    config = {"authInternalUsers": [user(user="bob", **{"pass": "fedcba9876543210"}), entry], "paths": ALL}
    draft = migrated_mtx(tmp_path, config)
    assert [note for note in draft.notes if note.verdict == ABSENT and "left out" in note.text]


# --- go-rtmp --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "admitted"),
    [
        ("", {"", "s3cret"}),
        ("-auth-mode none", {"", "s3cret"}),
        ("-auth-mode token -auth-token live/a=s3cret", {"s3cret"}),
        ("-auth-mode token -auth-token live/b=s3cret", set()),
        ("-auth-mode callback -auth-callback http://no.example/", set()),
        ("-auth-mode callback -auth-callback http://yes.example/", {"", "s3cret"}),
    ],
)
def test_flags_of_go_rtmp(words: str, admitted: set[str]) -> None:
    migrated = Migrated(command_line.migrate(words.split()), ("http://yes.example/",))
    for action in ACTIONS:
        assert {token for token in ("", "s3cret") if migrated.admits(action, "live/a", "10.0.0.1", token)} == admitted
