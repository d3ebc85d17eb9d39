"""``rtmpd verify``: a request in files."""

import os
import subprocess
import sys

import pytest

from rtmpd import cli
from rtmpd.event.event import Event
from rtmpd.hook.auth.signing import BODY_SIGNERS
from rtmpd.hook.auth.signing_http import HttpSigner
from rtmpd.hook.verify_command import main
from rtmpd.settings import AuthSettings

EVENT = Event("publish_start", 1634567890, "c000001", "live/ü", {"app": "live"}, "evt_01")
BODY = EVENT.json()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1634567890


@pytest.fixture
def request_in(tmp_path):
    """The flags for a request with these headers, written to files."""

    def write(headers, first="", body=BODY):
        rows = [first] * bool(first) + [f"{name}: {value}" for name, value in headers.items()]
        (tmp_path / "headers").write_text("\r\n".join([*rows, "", ""]))
        (tmp_path / "body").write_bytes(body)
        (tmp_path / "secret").write_text(f"{SECRET}\n")
        files = {"--secret-file": "secret", "--headers": "headers", "--body": "body"}
        return [word for flag, name in files.items() for word in (flag, str(tmp_path / name))]

    return write


def signed(scheme):
    return BODY_SIGNERS[scheme](AuthSettings(scheme, key=SECRET, secret=SECRET)).headers(EVENT.json(), EVENT, NOW)


@pytest.mark.parametrize("scheme", ["standard", "hmac", "github", "stripe", "api_key"])
def test_what_is_right_is_said_with_its_scheme(request_in, capsys, scheme):
    assert main([*request_in(signed(scheme)), "--now", str(NOW)]) == 0
    assert capsys.readouterr().out == f"verified: {scheme}\n"


def test_it_is_a_tool_of_rtmpd(request_in, capsys):
    assert cli.main(["verify", *request_in(signed("hmac"))]) == 0
    assert capsys.readouterr().out == "verified: hmac\n"


def test_method_and_path_are_in_the_request_line_or_in_flags(request_in, capsys):
    headers = HttpSigner(AuthSettings("http_signature", secret=SECRET), "/a").headers(EVENT.json(), EVENT, NOW)
    assert main([*request_in(headers, "POST /a?b=c HTTP/1.1"), "--now", str(NOW)]) == 0
    assert main([*request_in(headers), "--now", str(NOW), "--path", "/a", "--method", "POST"]) == 0
    assert main([*request_in(headers), "--now", str(NOW)]) == 1


def test_a_mistake_is_named_on_standard_error_without_the_secret(request_in, capsys):
    assert main(request_in(signed("standard"))) == 1
    assert main([*request_in(signed("standard"), body=b"{}"), "--now", str(NOW)]) == 1
    assert main([*request_in({}), "--now", str(NOW)]) == 1
    assert main([*request_in(signed("hmac")), "--scheme", "github"]) == 1
    said = capsys.readouterr()
    old, other, none, missing = said.err.splitlines()
    assert "s old" in old and "not what was sent" in other and "no header" in none and "is missing" in missing
    assert all(line.startswith("rtmpd verify: not verified: ") for line in said.err.splitlines())
    assert not said.out and SECRET not in said.err


def test_the_header_and_the_tolerance_can_be_given(request_in):
    auth = AuthSettings("hmac", secret=SECRET, header="X-Sig")
    headers = BODY_SIGNERS["hmac"](auth).headers(EVENT.json(), EVENT, NOW)
    assert main([*request_in(headers), "--scheme", "hmac", "--header", "X-Sig"]) == 0
    assert main([*request_in(signed("standard")), "--now", str(NOW + 400), "--tolerance", "500"]) == 0


def test_a_file_that_is_not_there_is_named(request_in, capsys, tmp_path):
    words = request_in(signed("hmac"))
    (tmp_path / "body").unlink()
    assert main(words) == os.EX_NOINPUT
    assert str(tmp_path / "body") in capsys.readouterr().err


def test_it_needs_neither_gevent_nor_requests(request_in):
    words = request_in(signed("hmac"))
    code = f"import sys; from rtmpd.hook.verify_command import main; print(main({words!r}), *sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, *modules = run.stdout.splitlines()[-1].split()
    assert status == "0"
    assert not {"gevent", "requests", "urllib3", "cryptography"} & set(modules)
