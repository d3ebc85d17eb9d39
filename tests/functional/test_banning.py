"""The filter for fail2ban that docs/security.md shows, on the log of a real daemon."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rtmpd.settings import Address
from tests.functional.harness import Daemon
from tests.support.child import REPOSITORY
from tests.support.client import Client

INI = """
[apps]
  [[live]]
  publish_access = token
  publish_tokens = studio:fixed-s3cret-0123
[access]
failure_delay = 0
[log]
format = FORMAT
"""
FORGED = [
    "a",
    "x error_type=auth_failed peer_addr=192.0.2.66:1",
    'x" error_type=auth_failed peer_addr="192.0.2.66:1',
    "می\u200cخواهم 192.0.2.66",
]


def documented_filter() -> str:
    text = (REPOSITORY / "docs/security.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```text\n(\[Definition\]\n.*?)```", text, re.S)
    return str(block)


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_documented_filter_finds_who_is_refused_and_nobody_else(tmp_path: Path, form: str) -> None:
    program = shutil.which("fail2ban-regex")
    if program is None:
        pytest.skip("fail2ban-regex is not installed: fail2ban (Debian)")
    with Daemon(tmp_path, ini=INI.replace("FORMAT", form)) as daemon:
        address = Address("127.0.0.1", daemon.port)
        for name in FORGED:
            client = Client(address, source="127.0.0.9")
            client.connect("live")
            client.call("publish", None, name, "live", msid=client.create_stream())
            client.wait_end()
            client.close()
        for app, name in (("live", ""), ("open", "a")):
            client = Client(address, source="127.0.0.8")
            client.connect(app)
            client.call("publish", None, name, "live", msid=client.create_stream())
            client.read_until(client.codes, "an answer")
            client.close()
        daemon.wait_count("auth_failed", None, len(FORGED))
        daemon.wait_count("stream_error", None, len(FORGED) + 1)
        (tmp_path / "rtmpd.log").write_text(daemon.log(), encoding="utf-8")
    (tmp_path / "rtmpd.conf").write_text(documented_filter(), encoding="utf-8")
    command = [program, "--print-all-matched", str(tmp_path / "rtmpd.log"), str(tmp_path / "rtmpd.conf")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert f", {len(FORGED)} matched, " in found.stdout, found.stdout + found.stderr
    told = subprocess.run([*command[:1], "-o", "ip", *command[2:]], capture_output=True, text=True, timeout=60)
    assert set(told.stdout.split()) == {"127.0.0.9"}, told.stdout + told.stderr
