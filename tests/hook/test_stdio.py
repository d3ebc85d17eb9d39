"""Events on standard output."""

import os
import subprocess
import sys
from pathlib import Path

import gevent
import pytest

from rtmpd.errors import PermanentDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.sink.stdio import StdioHook, env_block, json_line
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
EVENT = Event("publish_start", 1634567890, "c000001", "live/a", {"app": "live", "encoder": ""}, "evt_01", 2)


@pytest.fixture
def pipe():
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for end in (read_end, write_end):
        try:
            os.close(end)
        except OSError:
            pass  # the test has closed it


def read(fd):
    until(lambda: gevent.select.select([fd], [], [], 0)[0])
    return os.read(fd, 1_000_000)


def test_a_json_line_is_the_prefix_and_the_json():
    assert json_line(EVENT) == b"RTMP_EVENT: " + EVENT.json() + b"\n"


def test_an_env_block_is_the_documented_one_byte_for_byte():
    assert env_block(EVENT) == (
        b"# RTMP Event: publish_start\n"
        b"RTMP_EVENT_TYPE=publish_start\n"
        b"RTMP_TIMESTAMP=1634567890\n"
        b"RTMP_CONN_ID=c000001\n"
        b"RTMP_STREAM_KEY=live/a\n"
        b"RTMP_EVENT_ID=evt_01\n"
        b"RTMP_EVENT_SEQ=2\n"
        b"RTMP_SEVERITY=info\n"
        b"RTMP_APP=live\n"
        b"RTMP_ENCODER=\n"
        b"\n"
    )


HOSTILE = "live/a b'c\"$(touch pwned)\n\nRTMP_CONN_ID=forged\x00;#`id`\\"


def test_a_hostile_value_can_be_sourced_and_forges_nothing(tmp_path):
    block = env_block(Event("publish_start", 5, "c1", HOSTILE, {"app": "-n !x *"}))
    assert block.count(b"\n\n") == 1 and block.endswith(b"\n\n")
    (tmp_path / "block").write_bytes(block)
    script = '. ./block; printf "%s|%s|%s" "$RTMP_STREAM_KEY" "$RTMP_CONN_ID" "$RTMP_APP"'
    shown = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, check=True)
    clean = HOSTILE.replace("\n", "").replace("\x00", "")
    assert shown.stdout.decode() == f"{clean}|c1|-n !x *"
    assert os.listdir(tmp_path) == ["block"]


def test_an_event_is_one_write(monkeypatch, pipe):
    writes = []
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(bytes(data)) or len(data))
    StdioHook("stdio", "json", pipe[1]).execute(EVENT, 0)
    assert writes == [json_line(EVENT)]


def test_a_large_event_comes_out_whole_through_a_small_pipe(pipe):
    large = Event("x", 5, data={"text": "ü" * 500_000})
    writer = gevent.spawn(StdioHook("stdio", "json", pipe[1]).execute, large, 0)
    expected, got = json_line(large), b""
    while len(got) < len(expected):
        got += read(pipe[0])
    assert got == expected
    writer.get(timeout=20)


def test_a_pipe_that_somebody_made_non_blocking_still_takes_everything(pipe):
    os.set_blocking(pipe[1], False)
    test_a_large_event_comes_out_whole_through_a_small_pipe(pipe)


def test_a_reader_that_is_gone_is_a_final_error(pipe, capfd):
    os.close(pipe[0])
    gevent.sleep(0.01)  # gevent closes at the next turn
    with pytest.raises(PermanentDeliveryError, match="Broken pipe"):
        StdioHook("stdio", "json", pipe[1]).execute(EVENT, 0)
    assert capfd.readouterr().err == ""


PROGRAM = """
from gevent import monkey; monkey.patch_all()
import gevent, sys
from rtmpd.clock import Clock
from rtmpd.hook.manager import HookManager
from rtmpd.settings import HookSettings, HooksSettings

hooks = (HookSettings("stdio", "stdio", "json", queue_events=5),)
manager = HookManager(HooksSettings(hooks=hooks), Clock())
turns = 0
for number in range(200):
    manager.emit("publish_start", stream_key="live/a", app="x" * 4000)
    gevent.sleep(0)
    turns += 1
while not manager.stats()["hooks"]["stdio"]["dropped"]:
    gevent.sleep(0.01)
print("turns", turns, file=sys.stderr)
manager.close(0.2)
print("closed", file=sys.stderr)
"""


def test_a_blocked_stdout_harms_nobody_and_does_not_hold_up_the_end():
    """A real process whose stdout is a pipe that nobody reads."""
    read_end, write_end = os.pipe()
    fill(write_end)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=write_end, stderr=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        os.close(write_end)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
            os.close(read_end)
    assert process.returncode == 0, errors
    lines = errors.splitlines()
    dropped = "Hook queue is full, oldest events dropped"
    assert lines == [dropped, "turns 200", dropped, "events lost at stop", "closed"]


def fill(write_end):
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(write_end, True)
