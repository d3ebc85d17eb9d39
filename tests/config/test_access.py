"""Who may publish or play, as it is written in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rtmpd.config import flags, sample
from rtmpd.config.loader import Loaded, load
from rtmpd.errors import ConfigError, CredentialError
from rtmpd.server.access.webtoken import check_key
from rtmpd.settings import AccessSettings, TokenSettings
from tests.support.proof import proves

LONG = "k" * 32
TOKEN = "t" * 16

ReadIni = Callable[[str], Loaded]


@pytest.fixture
def ini(tmp_path: Path) -> ReadIni:
    """Read this text as a configuration file."""

    def read(text: str) -> Loaded:
        (tmp_path / "rtmpd.ini").write_text(text)
        return load(flags.parse(["-c", str(tmp_path / "rtmpd.ini")]), check_jwt_key=check_key)

    return read


def problem(ini: ReadIni, text: str) -> str:
    """The one problem of a file."""
    with pytest.raises(ConfigError) as caught:
        ini(text)
    assert len(caught.value.problems) == 1, caught.value.problems
    return str(caught.value)


def warnings(loaded: Loaded) -> str:
    return "\n".join(str(warning) for warning in loaded.warnings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[live/]]\n", "apps.live/: can never be an application (found '[[live/]]'); write [[live]]"),
        ("[[live//room]]\n", "write [[live/room]]"),
        ("[[live/_definst_]]\n", "write [[live]]"),
        ("served = live/, vod\n", "apps.served: has live/, which can never be an application"),
    ],
)
def test_an_application_that_no_path_can_have_is_a_problem(ini: ReadIni, text: str, said: str) -> None:
    assert said in problem(ini, f"[apps]\n{text}")


def test_an_application_of_its_own_that_is_not_served_is_a_warning(ini: ReadIni) -> None:
    text = warnings(ini("[apps]\nserved = live, eu/*\n[[live]]\n[[eu/one]]\n[[live/room]]\n"))
    assert "apps.live/room: is not in served" in text and "eu/one" not in text


def test_everybody_may_by_default(ini: ReadIni) -> None:
    settings = ini("").settings
    assert settings.access == AccessSettings()
    assert settings.apps.default.publish_access == settings.apps.default.play_access == ("open",)


def test_tokens_modes_and_lists_are_read_and_inherited(ini: ReadIni) -> None:
    apps = ini(f"""
[apps]
publish_access = token
publish_tokens = studio:{TOKEN}, "ob van:{TOKEN}x live/ob*"
play_deny = 192.0.2.0/24, public
  [[vod]]
  publish_access = open
  play_access = token
  play_tokens = viewer:{TOKEN} vod/* play
""".replace("ob van", "ob-van")).settings.apps  # fmt: skip
    assert apps.default.publish_tokens == (
        TokenSettings("studio", TOKEN),
        TokenSettings("ob-van", f"{TOKEN}x", "live/ob*"),
    )
    assert apps.of("vod").publish_access == ("open",)
    assert apps.of("vod").play_tokens == (TokenSettings("viewer", TOKEN, "vod/*", ("play",)),)
    assert apps.of("vod").play_deny == apps.default.play_deny == ("192.0.2.0/24", "public")


def test_the_token_file_is_part_of_the_settings(ini: ReadIni, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    digest = "sha256:" + "ab" * 32
    file.write_text(f"# who\nstudio:{TOKEN}\n\n  guest:{digest} live/guest-* publish\n")
    file.chmod(0o600)
    text = "[apps]\npublish_access = file\n[access]\ntoken_file = tokens\n"
    loaded = ini(text)
    assert loaded.settings.access.file_tokens == (
        TokenSettings("studio", TOKEN),
        TokenSettings("guest", digest, "live/guest-*", ("publish",)),
    )
    assert not loaded.warnings
    file.write_text(f"studio:{TOKEN}new\n")
    assert ini(text).settings.access != loaded.settings.access, "a reload sees that the file has changed"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("s3cret", "is not a token"),
        (":s3cret", "is not a token"),
        ("studio:", "is not a token"),
        ("studio:s3cret a b c", "is not a token"),
        ("studio:s3cret live/* watch", "has an action for studio that is not valid"),
        ("studio:sha256:s3cret", "has a digest for studio that is not valid"),
    ],
)
def test_a_line_that_is_no_token_is_told_with_its_number_and_without_its_secret(
    ini: ReadIni, tmp_path: Path, line: str, said: str
) -> None:
    (tmp_path / "tokens").write_text(f"a:{TOKEN}\n{line}\n")
    text = problem(ini, "[access]\ntoken_file = tokens\n")
    assert text.startswith(f"{tmp_path}/tokens:2: access.token_file: {said}") and "s3cret" not in text
    text = problem(ini, f"[apps]\npublish_tokens = {line}\n")
    assert said in text and "s3cret" not in text


def test_a_token_file_that_can_not_be_read_is_told(ini: ReadIni, tmp_path: Path) -> None:
    assert "No such file" in problem(ini, "[access]\ntoken_file = missing\n")
    (tmp_path / "tokens").write_bytes(b"\xff\xfe")
    assert "is UTF-16, not UTF-8" in problem(ini, "[access]\ntoken_file = tokens\n")


@proves("access.token_file")
def test_a_token_file_that_everybody_can_read_is_odd(ini: ReadIni, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"a:{TOKEN}\n")
    (tmp_path / "tokens").chmod(0o644)
    assert "can be read by everybody" in warnings(ini("[access]\ntoken_file = tokens\n"))


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("token", "publish_tokens"),
        ("file", "token_file in [access]"),
        ("signed", "signing_keys in [access]"),
        ("jwt", "jwt_keys in [access]"),
        ("callback", "callback_url"),
    ],
)
def test_a_mode_needs_what_it_checks_with(ini: ReadIni, mode: str, wanted: str) -> None:
    text = problem(ini, f"[apps]\npublish_access = {mode}\n  [[live]]\n  max_players = 3\n")
    assert ":2: apps.publish_access: has " + mode in text and f"; set {wanted}" in text
    text = problem(ini, f"[apps]\n  [[live]]\n  publish_access = {mode}\n")
    assert "apps.live.publish_access: has " + mode in text


def test_an_unknown_mode_is_told_with_the_nearest(ini: ReadIni) -> None:
    assert 'did you mean "token"?' in problem(ini, "[apps]\npublish_access = tokn\n")
    assert "names no access mode" in problem(ini, "[apps]\npublish_access =\n")


def test_open_beside_others_is_odd(ini: ReadIni) -> None:
    text = warnings(ini(f"[apps]\npublish_access = token, open\npublish_tokens = a:{TOKEN}\n"))
    assert "everybody is admitted" in text


def test_short_secrets_are_odd_and_not_shown(ini: ReadIni) -> None:
    loaded = ini(
        "[apps]\npublish_tokens = studio:sh0rt\n[access]\nsigning_keys = sh0rt\njwt_keys = sh0rt\n"
    )
    text = warnings(loaded)
    assert "studio" in text and "signing_keys" in text and "jwt_keys" in text
    assert "sh0rt" not in text and "sh0rt" not in sample.effective(loaded.checked)
    assert "sh0rt" not in repr(loaded.settings)
    assert not ini(f"[access]\nsigning_keys = {LONG}\njwt_keys = {LONG}\n").warnings


def test_a_key_of_the_wrong_kind_is_told(ini: ReadIni) -> None:
    text = problem(ini, "[access]\njwt_algorithm = RS256\njwt_keys = s3cret\n")
    assert "access.jwt_keys: has one that is not a key for RS256" in text and "s3cret" not in text


@proves("access.signing_keys")
def test_signing_keys_come_from_elsewhere(ini: ReadIni, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(f"{LONG},1\n")
    monkeypatch.setenv("OLD_KEY", f"{LONG},2")
    access = ini("[access]\nsigning_keys = ${file:key}, ${OLD_KEY}\n").settings.access
    assert access.signing_keys == (f"{LONG},1", f"{LONG},2")


@proves("access.failure_delay")
def test_the_longest_delay_is_no_shorter_than_the_first(ini: ReadIni) -> None:
    assert "is smaller than failure_delay" in problem(ini, "[access]\nfailure_delay = 20s\n")


@proves("access.callback_ca_file")
def test_authorities_must_be_certificates(ini: ReadIni, tmp_path: Path) -> None:
    assert "No such file" in problem(ini, "[access]\ncallback_ca_file = missing\n")
    (tmp_path / "ca.pem").write_text("none")
    assert "holds no certificate" in problem(ini, "[access]\ncallback_ca_file = ca.pem\n")


@proves("access.jwt_keys")
def test_keys_are_left_to_who_verifies_with_them(tmp_path: Path) -> None:
    def none(algorithm: str, key: str) -> str:
        raise CredentialError("is none", "jwt_keys", "take another")

    (tmp_path / "rtmpd.ini").write_text("[access]\njwt_keys = a\n")
    with pytest.raises(ConfigError, match=r"access\.jwt_keys: is none"):
        load(flags.parse(["-c", str(tmp_path / "rtmpd.ini")]), check_jwt_key=none)


def test_the_streams_of_a_token_can_have_any_space_but_a_blank(ini: ReadIni) -> None:
    text = f'[apps]\npublish_tokens = "studio:{TOKEN}  live/朝\u3000の番組*\tpublish"\n'
    assert ini(text).settings.apps.default.publish_tokens == (
        TokenSettings("studio", TOKEN, "live/朝\u3000の番組*", ("publish",)),
    )
