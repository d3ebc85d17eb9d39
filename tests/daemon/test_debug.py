"""The way into a running daemon, and reports of what holds its event loop up."""

from __future__ import annotations

import logging
import stat
import time
from pathlib import Path

import gevent
import pytest
from gevent import socket

from rtmpd.daemon.debug import Debug
from rtmpd.errors import StartError
from rtmpd.settings import DebugSettings
from tests.support.proof import proves
from tests.support.waiting import until


@proves("debug.backdoor")
def test_the_backdoor_is_a_prompt_for_our_own_user_only(tmp_path: Path) -> None:
    path = tmp_path / "backdoor.sock"
    path.touch()
    path.unlink()
    debug = Debug(DebugSettings(backdoor=str(path)), {"answer": 41})
    debug.start()
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"print(answer + 1)\n")
            said = b""
            with gevent.Timeout(5):
                while b"42" not in said:
                    said += client.recv(4096)
    finally:
        debug.stop()
    assert not path.exists()


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(StartError, match="not a socket"):
        Debug(DebugSettings(backdoor=str(path)), {}).start()
    assert path.read_text() == "mine"


@proves("debug.report_blocking")
def test_a_blocked_event_loop_is_reported_with_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rtmpd")
    debug = Debug(DebugSettings(report_blocking_s=0.1), {})
    debug.start()
    try:
        gevent.sleep(0.05)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
        until(lambda: any(record.getMessage() == "event loop blocked" for record in caplog.records))
        assert any("test_debug.py" in record.getMessage() for record in caplog.records)
        caplog.clear()
        gevent.sleep(0.2)
        assert not caplog.records
    finally:
        debug.stop()
