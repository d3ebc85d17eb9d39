"""[http]: who can reach it, and what keeps strangers out."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd.config import inspect
from rtmpd.config.loader import Loaded
from rtmpd.errors import ConfigError, Problem
from rtmpd.settings import Address, ApiSettings, TlsSettings

from .conftest import Read, Refuse


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("0123456789abcdef\n")
    path.chmod(0o600)
    return path


def test_by_default_there_is_the_control_socket_alone(read: Read) -> None:
    assert read("").settings.http == ApiSettings(listen=(), socket="/run/rtmpd/control.sock")
    assert read("[http]\nsocket =\n").settings.http.socket == ""


def test_everything_can_be_set(read: Read, tokens: Path, tmp_path: Path) -> None:
    text = "listen = 127.0.0.1:0, [::1]:8080\nsocket = c.sock\ntoken_file = tokens\nhosts = a.example, b\n"
    limits = "connections = 5\nbody_size = 1k\nrequest_timeout = 1s\nsend_timeout = 2s\nsocket_group = staff\n"
    events = "event_listeners = 0\nevent_queue = 10\n"
    assert read(f"[http]\n{text}{limits}{events}").settings.http == ApiSettings(
        (Address("127.0.0.1", 0), Address("::1", 8080)), str(tmp_path / "c.sock"), str(tokens), ("a.example", "b"),
        5, 1024, 1.0, 2.0, 0, 10, socket_group="staff",
    )  # fmt: skip


def test_addresses_with_tls_take_a_certificate_and_its_key_or_none(
    read: Read, refuse: Refuse, tokens: Path, tmp_path: Path
) -> None:
    tls = {"tls_listen": "127.0.0.1:8443", "tls_cert": "cert.pem", "tls_key": "key.pem"}
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    for missing in tls:
        (problem,) = refuse("[http]\n" + "".join(f"{key} = {value}\n" for key, value in tls.items() if key != missing))
        assert problem.key.startswith("http.tls_") and missing in problem.message
    http = read("[http]\nlisten = 127.0.0.1:1\n" + "".join(f"{k} = {v}\n" for k, v in tls.items())).settings.http
    assert http.listen == (Address("127.0.0.1", 1), Address("127.0.0.1", 8443, tls=True))
    assert http.tls == TlsSettings(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    (warning,) = read("[http]\ntls_listen = :8443\ntls_cert = cert.pem\ntls_key = key.pem\n").warnings
    assert warning.key == "http.tls_listen" and "without a token they get health alone" in warning.message
    (problem,) = refuse("[http]\ntls_listen = 127.0.0.1:1\ntls_cert = none.pem\ntls_key = key.pem\n")
    assert problem.key == "http.tls_cert" and "No such file" in problem.message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1.2.3"])
def test_on_loopback_no_token_is_needed(read: Read, host: str) -> None:
    assert read(f"[http]\nlisten = {host}:8080\n").settings.http.listen


@pytest.mark.parametrize("host", ["", "0.0.0.0", "192.0.2.1", "[::]", "example.net"])
def test_where_others_can_reach_it_and_there_is_no_token_a_warning_says_what_they_get(
    read: Read, tokens: Path, host: str
) -> None:
    (warning,) = read(f"[http]\nlisten = {host}:8080\n").warnings
    assert warning.key == "http.listen"
    assert "without a token they get health alone" in warning.message
    assert not read(f"[http]\nlisten = {host}:8080\ntoken_file = {tokens}\n").warnings


def test_a_token_file_that_can_not_be_read_is_a_problem(refuse: Refuse) -> None:
    (problem,) = refuse("[http]\ntoken_file = /nowhere/tokens\n")
    assert problem.key == "http.token_file"
    assert problem.message == "/nowhere/tokens: cannot be read: No such file or directory"


def test_a_token_file_that_everybody_can_read_is_a_warning(read: Read, tokens: Path) -> None:
    assert read(f"[http]\ntoken_file = {tokens}\n").warnings == ()
    tokens.chmod(0o644)
    (warning,) = read(f"[http]\ntoken_file = {tokens}\n").warnings
    assert "can be read by everybody" in warning.message


# --- the configuration as an operator asks about it -----------------------------------------------


def test_a_difference_names_what_a_reload_would_change(read: Read) -> None:
    before = read("[log]\nlevel = info\n")
    found = inspect.diff(before, lambda: read("[log]\nlevel = debug\n"))
    assert (found["ok"], found["problems"]) == (True, [])
    changed = [line.partition("  #")[0] for line in found["text"].splitlines() if line[:1] in "+-"]
    assert changed == ["--- in effect", "+++ in the files", "-level = info", "+level = debug"]
    assert inspect.diff(before, lambda: before)["text"] == ""


def test_files_with_problems_are_not_compared_but_told(read: Read) -> None:
    def broken() -> Loaded:
        raise ConfigError([Problem("a.ini:1", "x.y", "no such key")])

    told = ["a.ini:1: x.y: no such key"]
    assert inspect.diff(read(""), broken) == {"ok": False, "problems": told, "text": ""}
    assert inspect.test(broken) == {"ok": False, "problems": told, "warnings": []}


def test_oddities_are_told_with_a_good_verdict(read: Read) -> None:
    found = inspect.test(lambda: read("[hooks]\n[[a]]\ntype = stdio\nevent_types = nonsense\n"))
    assert found["ok"] is True
    assert "no event is called nonsense" in found["warnings"][0]
