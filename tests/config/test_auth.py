"""How webhooks authenticate and where they may go, in files and by flags."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtmpd.config import sample
from rtmpd.settings import AuthSettings, HookSettings, HttpSettings, SigningSecret
from tests.support.authority import Authority
from tests.support.proof import proves

from .conftest import Read, Refuse

HOOK = "[hooks]\n[[a]]\ntype = webhook\nurl = http://h/\n"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LONG = "s" * 64


def hook_of(read: Read, lines: str, **environ: str) -> HookSettings:
    (hook,) = read(HOOK + lines, environ=environ).settings.hooks.hooks
    return hook


# --- files --------------------------------------------------------------------------------------


@proves(
    "hooks.NAME.auth.issuer",
    "hooks.NAME.auth.subject",
    "hooks.NAME.auth.audience",
    "hooks.NAME.auth.ttl",
    "hooks.NAME.auth.scopes",
    "hooks.NAME.auth.username",
)
@pytest.mark.parametrize(
    ("lines", "auth"),
    [
        ("type = api_key\nkey = k", AuthSettings("api_key", key="k")),
        ("type = api_key\nkey = 'a,b#c'\nheader = X-Key", AuthSettings("api_key", key="a,b#c", header="X-Key")),
        (f"type = hmac\nsecret = {LONG}", AuthSettings("hmac", secret=LONG)),
        (
            f"type = hmac\nsecret = {LONG}\nalgorithm = sha1\nheader = X-S",
            AuthSettings("hmac", secret=LONG, algorithm="sha1", header="X-S"),
        ),
        (f"type = github\nsecret = {LONG}", AuthSettings("github", secret=LONG)),
        ("type = stripe\nsecrets = a, b", AuthSettings("stripe", secrets=(SigningSecret("a"), SigningSecret("b")))),
        (f"type = standard\nsecret = {WHSEC}", AuthSettings("standard", secret=WHSEC)),
        (
            f"type = jwt\nsecret = {LONG}\nalgorithm = HS512\nissuer = i\nsubject = s\naudience = a\n"
            "claims = site=berlin, 'room=a,b'\nttl = 5m",
            AuthSettings(
                "jwt", secret=LONG, algorithm="HS512", issuer="i", subject="s", audience="a",
                claims=(("site", "berlin"), ("room", "a,b")), ttl_s=300.0,
            ),
        ),
        (
            "type = oauth2\nclient_id = c\nclient_secret = s\ntoken_url = https://h/t\nscopes = x, y\n"
            "client_auth = body",
            AuthSettings(
                "oauth2", client_id="c", client_secret="s", token_url="https://h/t", scopes=("x", "y"),
                client_auth="body",
            ),
        ),
        ("type = basic\nusername = u\npassword = p", AuthSettings("basic", username="u", password="p")),
    ],
)  # fmt: skip
def test_each_type_has_its_keys(read: Read, lines: str, auth: AuthSettings) -> None:
    assert hook_of(read, f"[[[auth]]]\n{lines}\n").auth == (auth,)


def test_secrets_come_from_elsewhere_and_may_end(read: Read, tmp_path: Path) -> None:
    (tmp_path / "old.key").write_text(f"{WHSEC}\n")
    lines = "[[[auth]]]\ntype = standard\nsecrets = ${NEW}, ${file:old.key} until 2026-12-01, " + WHSEC
    (auth,) = hook_of(read, lines + " until 2026-12-01T12:00+02:00\n", NEW=WHSEC).auth
    date, moment = datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 1, 10, tzinfo=UTC)
    assert auth.secrets == (
        SigningSecret(WHSEC), SigningSecret(WHSEC, date.timestamp()), SigningSecret(WHSEC, moment.timestamp()),
    )  # fmt: skip


@proves("hooks.NAME.auth.algorithm")
def test_a_private_key_comes_from_a_file(read: Read, tmp_path: Path) -> None:
    _, key = Authority(tmp_path).issue("signer")
    lines = f"[[[auth]]]\ntype = jwt\nalgorithm = ES256\nsecret = ${{file:{key.name}}}\n"
    assert hook_of(read, lines).auth[0].secret == key.read_text().strip()


def test_a_hook_can_prove_itself_in_several_ways(read: Read) -> None:
    lines = f"[[[auth]]]\ntype = hmac\nsecret = {LONG}\n[[[auth-2]]]\ntype = api_key\nkey = k\n"
    assert [auth.type for auth in hook_of(read, lines).auth] == ["hmac", "api_key"]


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        ("[[[auth]]]", "hooks.a.auth", "has no type"),
        ("[[[auth]]]\ntype = md5", "hooks.a.auth.type", "not one of the words"),
        ("[[[auth]]]\ntype = hmac", "hooks.a.auth", "secret is missing"),
        (f"[[[auth]]]\ntype = hmac\nsecret = {LONG}\nalgorithm = md5", "hooks.a.auth.algorithm", "not a digest"),
        (f"[[[auth]]]\ntype = hmac\nsecret = {LONG}\nttl = 5m", "hooks.a.auth.ttl", "is for type = jwt"),
        (f"[[[auth]]]\ntype = hmac\nsecret = {LONG}\nheader = a b", "hooks.a.auth.header", "not a header name"),
        ("[[[auth]]]\ntype = standard\nsecrets = a!", "hooks.a.auth.secrets", "not base64"),
        (f"[[[auth]]]\ntype = standard\nsecrets = {WHSEC} until soon", "hooks.a.auth.secrets", "without a date"),
        (f"[[[auth]]]\ntype = standard\nsecrets = {WHSEC} until 2100-01-01", "hooks.a.auth.secrets", "have an end"),
        (f"[[[auth]]]\ntype = jwt\nsecret = {LONG}\nclaims = a", "hooks.a.auth.claims", "NAME"),
        (f"[[[auth]]]\ntype = jwt\nsecret = {LONG}\nclaims = exp=1", "hooks.a.auth.claims", "made by rtmpd"),
        ("[[[auth]]]\ntype = jwt\nsecret = x\nalgorithm = RS256", "hooks.a.auth.secret", "is not a key for RS256"),
        ("[[[auth]]]\ntype = jwt\nsecret = x\nalgorithm = none", "hooks.a.auth.algorithm", "not an algorithm"),
        ("[[[auth]]]\ntype = oauth2\nclient_id = c", "hooks.a.auth", "client_secret is missing"),
        ("[[[oath]]]\ntype = hmac", "hooks.a.oath", "no such section"),
        ("[[[auth]]]\ntype = api_key\nkey = k\n[[[[deep]]]]\nx = 1", "hooks.a.auth.deep", "this deep"),
        (
            "[[[auth]]]\ntype = api_key\nkey = k\n[[[auth-2]]]\ntype = api_key\nkey = l",
            "hooks.a.auth-2.type", "writes the header X-API-Key",
        ),
        (
            "headers = 'Authorization: Bearer t'\n[[[auth]]]\ntype = basic\nusername = u",
            "hooks.a.auth.type", "Authorization, which headers writes too",
        ),
        ("headers = nonsense", "hooks.a.headers", "is not a header"),
        ("headers = 'Content-Length: 1'", "hooks.a.headers", "written by rtmpd"),
        ("headers = 'X-RTMP-Event-Id: 1'", "hooks.a.headers", "written by rtmpd"),
        ("client_key = /dev/null", "hooks.a.client_key", "without client_cert"),
        ("client_cert = none.pem", "hooks.a.client_cert", "No such file"),
        ("ca_file = none.pem", "hooks.a.ca_file", "No such file"),
        ("proxy = proxy:3128", "hooks.a.proxy", "URL"),
        ("allow_networks = lan", "hooks.a.allow_networks", "has lan, which is not a network"),
        ("deny_networks = 10.0.0.1/8", "hooks.a.deny_networks", "host bits"),
    ],
)  # fmt: skip
def test_what_can_not_work_is_an_error_where_it_stands(refuse: Refuse, lines: str, key: str, message: str) -> None:
    (problem,) = refuse(HOOK + lines + "\n")
    assert problem.key == key and message in str(problem) and problem.where.rpartition(":")[2].isdigit()


@proves("hooks.NAME.headers")
@pytest.mark.parametrize("line", ["headers = 'A: b'", "proxy = http://p/", "[[[auth]]]\ntype = api_key\nkey = k"])
def test_only_webhooks_authenticate(refuse: Refuse, line: str) -> None:
    (problem,) = refuse(f"[hooks]\n[[a]]\ntype = stdio\n{line}\n")
    assert "is for type = webhook" in problem.message


@pytest.mark.parametrize(
    "lines",
    ["type = hmac\nsecret = webhook-secret", "type = jwt\nsecret = jwt-signing-key", "type = standard\nsecret = YQ"],
)
def test_a_short_secret_is_a_warning(read: Read, lines: str) -> None:
    (warning,) = read(f"{HOOK}[[[auth]]]\n{lines}\n").warnings
    assert warning.key == "hooks.a.auth" and "a secret is short" in warning.message


def test_the_way_out_of_a_hook(read: Read, tmp_path: Path) -> None:
    Authority(tmp_path).issue("c")
    hook = hook_of(
        read,
        "headers = 'X-A: b, c', 'X-D: e'\nclient_cert = c.pem\nclient_key = c.key\nca_file = ca.pem\n"
        "proxy = http://p:3128\nallow_networks = public, 10.0.0.0/8\ndeny_networks = 10.1.0.0/16, ::1\n",
    )
    assert hook.http == HttpSettings(
        (("X-A", "b, c"), ("X-D", "e")), f"{tmp_path}/c.pem", f"{tmp_path}/c.key", f"{tmp_path}/ca.pem", "http://p:3128",
        ("public", "10.0.0.0/8"), ("10.1.0.0/16", "::1"),
    )  # fmt: skip


def test_certificates_that_can_not_be_used_are_errors(refuse: Refuse, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("one")
    authority.issue("two")
    (tmp_path / "empty.pem").write_text("")
    encrypted = authority.issue("three")[1].with_name("encrypted.key")
    authority.encrypt(tmp_path / "three.key", encrypted)
    for lines, key in [
        ("client_cert = one.pem\nclient_key = two.key", "client_cert"),
        ("client_cert = one.pem", "client_cert"),
        ("client_cert = three.pem\nclient_key = encrypted.key", "client_cert"),
        ("ca_file = empty.pem", "ca_file"),
        ("client_cert = one.pem\nclient_key = none.key", "client_key"),
    ]:
        (problem,) = refuse(HOOK + lines + "\n")
        assert problem.key == f"hooks.a.{key}" and "PEM" in problem.hint


@pytest.mark.parametrize("place", ["client_key", "client_cert"], ids=["of-its-own", "beside-the-certificate"])
def test_a_private_key_of_a_client_that_everybody_can_read_is_a_warning(
    read: Read, tmp_path: Path, place: str
) -> None:
    certificate, key = Authority(tmp_path).issue("one")
    text = HOOK + f"client_cert = {certificate}\n"
    if place == "client_key":
        text += f"client_key = {key}\n"
    else:
        certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
    file = key if place == "client_key" else certificate
    file.chmod(0o600)
    assert read(text).warnings == ()
    file.chmod(0o604)
    (warning,) = read(text).warnings
    assert (warning.key, warning.hint) == (f"hooks.a.{place}", f"chmod o-r {file}")
    assert warning.message == f"{file} holds a private key, and everybody can read it"


@proves("hooks.deny_networks", "hooks.NAME.deny_networks")
def test_networks_of_the_section_are_for_hooks_that_do_not_say_otherwise(read: Read) -> None:
    text = "[hooks]\ndeny_networks = private\n[[a]]\ntype = webhook\nurl = http://h/\n"
    hooks = read(
        text + "[[b]]\ntype = webhook\nurl = http://h/\ndeny_networks = loopback\n[[c]]\ntype = stdio\n",
        "-hook-webhook", "*=http://h/",
    ).settings.hooks.hooks  # fmt: skip
    denied = {hook.id: hook.http.deny_networks for hook in hooks}
    assert denied == {"a": ("private",), "b": ("loopback",), "c": (), "webhook_0": ("private",)}


def test_what_is_in_effect_shows_the_sections_without_their_secrets(read: Read) -> None:
    lines = (
        "headers = 'X-Token: hidden'\n[[[auth]]]\ntype = hmac\nsecret = ${S}\nalgorithm = sha1\n"
        "[[[auth-2]]]\ntype = api_key\nkey = hidden\n"
    )
    text = sample.effective(read(HOOK + lines, environ={"S": LONG}).checked)
    assert "[[[auth]]]\ntype = hmac" in text and "[[[auth-2]]]\ntype = api_key" in text
    for line in ("secret = ${S}  #", "algorithm = sha1  #", "headers = ***  #", "key = ***  #"):
        assert line in text
    assert "hidden" not in text and LONG not in text


def test_a_fallback_in_a_reference_is_a_secret_too(read: Read) -> None:
    text = sample.effective(read(HOOK + "[[[auth]]]\ntype = api_key\nkey = ${K:-hidden}\n").checked)
    assert "hidden" not in text


# --- the command line ---------------------------------------------------------------------------

WEBHOOKS = ("-hook-webhook", "*=http://h/", "-hook-webhook", "play_*=http://h/b")


def auth_of(read: Read, *words: str) -> tuple[AuthSettings, ...]:
    first, second = read("", *WEBHOOKS, *words).settings.hooks.hooks
    assert first.auth == second.auth
    return first.auth


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_the_specified_flags_are_for_every_webhook_of_the_command_line(read: Read, dashes: str) -> None:
    def flag(name: str, value: str) -> tuple[str, str]:
        return dashes + name, value

    assert auth_of(read, *flag("hook-auth-api-key", "secret-key-123"), *flag("hook-auth-header", "X-Key")) == (
        AuthSettings("api_key", key="secret-key-123", header="X-Key"),
    )
    assert auth_of(
        read, *flag("hook-auth-hmac-secret", "webhook-secret"), *flag("hook-auth-hmac-algorithm", "sha256")
    ) == (AuthSettings("hmac", secret="webhook-secret", algorithm="sha256"),)
    assert auth_of(
        read, *flag("hook-auth-jwt-secret", "jwt-signing-key"), *flag("hook-auth-jwt-issuer", "rtmp-server"),
        *flag("hook-auth-jwt-ttl", "1h"),
    ) == (AuthSettings("jwt", secret="jwt-signing-key", issuer="rtmp-server", ttl_s=3600.0),)  # fmt: skip
    hooks = read(
        "", *WEBHOOKS, *flag("hook-header", "Authorization: Bearer token123"), *flag("hook-header", "X-Source: a, b")
    ).settings.hooks.hooks
    assert [hook.http.headers for hook in hooks] == [
        (("Authorization", "Bearer token123"), ("X-Source", "a, b"))
    ] * 2


def test_what_the_specification_has_no_flag_for_has_one(read: Read) -> None:
    assert auth_of(
        read, "--hook-auth-hmac-secret", LONG, "--hook-auth-hmac-header", "X-Sig", "--hook-auth-jwt-secret", LONG,
        "--hook-auth-jwt-subject", "s", "--hook-auth-jwt-audience", "a", "--hook-auth-jwt-claim", "x=1,2",
        "--hook-auth-jwt-claim", "y=z", "--hook-auth-jwt-algorithm", "HS512",
    ) == (
        AuthSettings("hmac", secret=LONG, header="X-Sig"),
        AuthSettings(
            "jwt", secret=LONG, subject="s", audience="a", claims=(("x", "1,2"), ("y", "z")), algorithm="HS512"
        ),
    )  # fmt: skip
    assert auth_of(
        read, "--hook-auth-oauth2-client-id", "c", "--hook-auth-oauth2-client-secret", "s",
        "--hook-auth-oauth2-token-url", "https://h/t", "--hook-auth-oauth2-scopes", "x,y",
        "--hook-auth-oauth2-client-auth", "body",
    ) == (
        AuthSettings(
            "oauth2", client_id="c", client_secret="s", token_url="https://h/t", scopes=("x", "y"), client_auth="body"
        ),
    )  # fmt: skip


def test_hooks_of_the_file_and_of_other_types_are_left_alone(read: Read) -> None:
    hooks = read(HOOK, *WEBHOOKS, "-hook-script", "*=/bin/sh", "-hook-auth-api-key", "k", "-hook-header", "A: b")
    bare = {hook.id for hook in hooks.settings.hooks.hooks if not hook.auth and not hook.http.headers}
    assert bare == {"a", "shell_0"}


def test_the_second_command_line_of_the_specification_works(read: Read) -> None:
    loaded = read(
        "", "--hook-script", "connection_accept=/bin/sh", "--hook-filter-events", "publish_start",
        "--hook-auth-api-key", "test123",
    )  # fmt: skip
    assert loaded.settings.hooks.hooks == (HookSettings("shell_0", "script", "/bin/sh", ("connection_accept",)),)
    assert "--hook-auth-api-key" in [warning.where for warning in loaded.warnings]


def test_short_secrets_of_flags_are_warnings(read: Read) -> None:
    words = ("-hook-auth-hmac-secret", "webhook-secret", "-hook-auth-jwt-secret", "short")
    warnings = read("", *WEBHOOKS, *words).warnings
    assert {warning.where for warning in warnings} == {"-hook-auth-hmac-secret", "-hook-auth-jwt-secret"}
    assert all("is short" in warning.message for warning in warnings) and len(warnings) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-hook-auth-header", "X-Key"), "needs -hook-auth-api-key"),
        (("-hook-auth-hmac-algorithm", "sha1"), "needs -hook-auth-hmac-secret"),
        (("-hook-auth-jwt-ttl", "5m"), "needs -hook-auth-jwt-secret"),
        (("-hook-auth-oauth2-scopes", "a"), "needs -hook-auth-oauth2-client-id"),
        (("-hook-auth-jwt-ttl", "5", "-hook-auth-jwt-secret", LONG), "too small"),
        (("-hook-auth-hmac-algorithm", "md5", "-hook-auth-hmac-secret", LONG), "not a digest"),
        (("-hook-auth-oauth2-client-id", "c"), "client_secret is missing"),
        (("-hook-header", "nonsense"), "is not a header"),
        (("-hook-auth-header", "a b", "-hook-auth-api-key", "k"), "not a header name"),
    ],
)
def test_a_wrong_flag_is_an_error_at_the_flag(refuse: Refuse, words: tuple[str, ...], message: str) -> None:
    (problem,) = refuse("", *WEBHOOKS, *words)
    assert problem.where == words[0] and message in problem.message


@pytest.mark.parametrize(
    "words",
    [
        ("-hook-auth-jwt-secret", LONG, "-hook-header", "Authorization: Bearer x"),
        ("-hook-auth-api-key", "k", "-hook-header", "x-api-key: l"),
        ("-hook-auth-jwt-secret", LONG, "-hook-webhook", "*=http://u:p@h/"),
        ("-hook-auth-api-key", "k", "-hook-auth-hmac-secret", LONG, "-hook-auth-hmac-header", "X-API-Key"),
    ],
)
def test_two_writers_of_one_header_are_an_error(refuse: Refuse, words: tuple[str, ...]) -> None:
    (problem,) = refuse("", *WEBHOOKS, *words)
    assert "writes the header" in problem.message
