"""The Phase 1 command lines, each run on the real daemon with a real publisher."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.functional import peers
from tests.functional.clips import Maker
from tests.functional.harness import PREFIX, Daemon
from tests.functional.receiver import Receiver
from tests.support.child import REPOSITORY, rtmpd
from tests.support.proof import proves
from tests.support.waiting import wait_until

Publish = Callable[[Daemon, str], None]
BASH_ADDS = {"PWD", "OLDPWD", "SHLVL", "_"}
PASSED_ON = {"PATH", "HOME", "LANG", "TZ"}


@pytest.fixture
def publish(clip: Maker, tmp_path: Path) -> Publish:
    """``publish(daemon, key)``: a short stream, as fast as it goes, from start to end."""

    def at_once(daemon: Daemon, key: str) -> None:
        source = clip("h264_aac", 0.4)
        peers.ffmpeg().publish_at_once(source, daemon.url(key), tmp_path / "publisher.log")

    return at_once


def script(path: Path, body: str) -> str:
    """A script for a hook. Neither executable nor with a ``#!`` line: bash is given the file."""
    path.write_text(body)
    return str(path)


def dump_environment(home: Path, name: str = "environment") -> str:
    """A script that leaves its environment, NUL-separated and complete as soon as it is there."""
    out = home / name
    return script(home / f"{name}.sh", f"env -0 > {out}.part\n[[ $# == 0 ]] && mv {out}.part {out}\n")


def environment(path: Path) -> dict[str, str]:
    wait_until(path.exists, f"a script wrote {path.name}")
    pairs = path.read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def as_variable(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def expected_variables(event: dict[str, Any]) -> dict[str, str]:
    """The documented variables of an event, but for its id and number in the stream."""
    core = {"RTMP_EVENT_TYPE": event["type"], "RTMP_TIMESTAMP": str(event["timestamp"])}
    core |= {"RTMP_CONN_ID": event["conn_id"], "RTMP_STREAM_KEY": event["stream_key"]}
    core = {name: value for name, value in core.items() if value}
    return core | {f"RTMP_{key.upper()}": as_variable(value) for key, value in event["data"].items()}


BESIDE_THE_BODY = {"RTMP_EVENT_ID", "RTMP_EVENT_SEQ", "RTMP_SEVERITY"}


# --- scripts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_type", ["publish_start", "publish_stop", "connection_accept", "connection_close"])
def test_a_script_gets_the_documented_environment_and_nothing_else(
    publish: Publish, tmp_path: Path, event_type: str
) -> None:
    hook = f"{event_type}={dump_environment(tmp_path)}"
    with Daemon(tmp_path, ["--hook-script", hook], env={"SECRET_TOKEN": "x", "TZ": "UTC"}) as daemon:
        publish(daemon, "live/camera")
        got = environment(tmp_path / "environment")
        event = daemon.wait_event(event_type)
    ours = {name: value for name, value in got.items() if name.startswith("RTMP_")}
    assert set(ours) >= BESIDE_THE_BODY
    assert {name: value for name, value in ours.items() if name not in BESIDE_THE_BODY} == expected_variables(event)
    assert set(got) - set(ours) <= BASH_ADDS | PASSED_ON
    assert got["TZ"] == "UTC"
    assert re.fullmatch(r"evt_\w{26}", got["RTMP_EVENT_ID"])


def test_a_flag_takes_one_or_two_dashes_and_its_value_after_a_space_or_an_equals_sign(
    publish: Publish, tmp_path: Path
) -> None:
    hooks = [f"publish_start={dump_environment(tmp_path, name)}" for name in ("one", "two", "three", "four")]
    arguments = ["-hook-script", hooks[0], "--hook-script", hooks[1]]
    arguments += [f"-hook-script={hooks[2]}", f"--hook-script={hooks[3]}", "-hook-concurrency", "3"]
    with Daemon(tmp_path, [*arguments, "--hook-timeout=5s"]) as daemon:
        publish(daemon, "live/camera")
        for name in ("one", "two", "three", "four"):
            assert environment(tmp_path / name)["RTMP_STREAM_KEY"] == "live/camera"


def test_a_script_that_fails_is_logged_and_costs_nothing_else(publish: Publish, tmp_path: Path) -> None:
    failing = script(tmp_path / "failing.sh", "echo the disk is full >&2\nexit 3\n")
    with Daemon(tmp_path, ["--hook-script", f"publish_start={failing}"]) as daemon:
        publish(daemon, "live/camera")
        daemon.wait_log(lambda log: "exit status 3" in log and "the disk is full" in log, "the failure in the log")
        publish(daemon, "live/again")
        daemon.wait_count("publish_stop", "live/again", 1)


def alive(pid: int) -> bool:
    """A process that has ended and that nobody has waited for does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@proves("--hook-script", "--hook-timeout")
def test_hook_timeout_ends_a_hanging_script_and_its_children(publish: Publish, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    body = "trap '' TERM\nsleep 300 &\n(sleep 300; true) &\n"
    body += f"echo $$ $(jobs -p) > {pids}.part\nmv {pids}.part {pids}\nwait\n"
    hook = f"publish_start={script(tmp_path / 'hanging.sh', body)}"
    with Daemon(tmp_path, ["--hook-script", hook, "--hook-timeout", "700ms"]) as daemon:
        publish(daemon, "live/camera")
        wait_until(pids.exists, "the script started")
        started = [int(word) for word in pids.read_text().split()]
        assert len(started) == 3
        wait_until(lambda: not any(alive(pid) for pid in started), "the script and its children ended")
        daemon.wait_log(lambda log: "timed out" in log, "the time-out in the log")


def test_a_background_process_of_a_script_that_ended_in_time_lives_on(publish: Publish, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    body = f"nohup sleep 30 > /dev/null 2>&1 &\necho $! > {pid_file}.part\nmv {pid_file}.part {pid_file}\n"
    hook = f"publish_start={script(tmp_path / 'starter.sh', body)}"
    with Daemon(tmp_path, ["--hook-script", hook, "--hook-timeout", "500ms"]) as daemon:
        publish(daemon, "live/camera")
        wait_until(pid_file.exists, "the script started its process")
        pid = int(pid_file.read_text())
    assert alive(pid), "a background process was ended with its script"
    subprocess.run(["kill", str(pid)], check=True)


@proves("hooks.NAME.concurrency", "--hook-concurrency")
def test_hook_concurrency_bounds_the_executions_of_a_hook_that_run_at_once(publish: Publish, tmp_path: Path) -> None:
    running, seen, go = tmp_path / "running", tmp_path / "seen", tmp_path / "go"
    running.mkdir()
    body = f"""mkdir {running}/$$
until [[ -e {go} ]]; do sleep 0.05; done
ls {running} | wc -l >> {seen}
rmdir {running}/$$
"""
    hook = f"publish_start={script(tmp_path / 'counting.sh', body)}"
    with Daemon(tmp_path, ["--hook-script", hook, "--hook-concurrency", "2"]) as daemon:
        for n in range(5):
            publish(daemon, f"live/camera{n}")
        wait_until(lambda: len(list(running.iterdir())) >= 2, "two scripts run")
        go.touch()
        wait_until(lambda: seen.exists() and len(seen.read_text().split()) == 5, "five executions", 20.0)
    assert max(map(int, seen.read_text().split())) == 2


# --- webhooks -----------------------------------------------------------------------------------


def test_a_webhook_posts_the_documented_json_byte_for_byte(publish: Publish, tmp_path: Path) -> None:
    with Receiver() as receiver:
        hook = f"publish_start={receiver.url('/hook?a=b=c&d=e')}"
        with Daemon(tmp_path, ["--hook-webhook", hook]) as daemon:
            publish(daemon, "live/камера")
            wait_until(lambda: receiver.posts, "a POST")
            event = daemon.wait_event("publish_start")
            line = next(line for line in daemon.event_lines() if b'"publish_start"' in line)
    post = receiver.posts[0]
    assert post.body == line[len(PREFIX) :]
    assert post.body == json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    head = rb'\{"type":"publish_start","timestamp":\d{10},"conn_id":"c\d{6}","stream_key":"live/\S+","data":\{"app":'
    assert re.match(head, post.body)
    assert post.path == "/hook?a=b=c&d=e"
    assert post.headers["content-type"] == "application/json"
    assert len(receiver.posts) == 1


def test_a_webhook_is_called_only_for_its_event(publish: Publish, tmp_path: Path) -> None:
    with Receiver() as receiver:
        hooks = [f"publish_stop={receiver.url('/stop')}", f"connection_close={receiver.url('/close')}"]
        with Daemon(tmp_path, ["-hook-webhook", hooks[0], "-hook-webhook", hooks[1]]) as daemon:
            publish(daemon, "live/camera")
            wait_until(lambda: len(receiver.posts) == 2, "two POSTs")
    types = {post.path: json.loads(post.body)["type"] for post in receiver.posts}
    assert types == {"/stop": "publish_stop", "/close": "connection_close"}


def test_an_endpoint_that_never_answers_harms_nobody(publish: Publish, tmp_path: Path) -> None:
    with Receiver(hang=True) as hanging, Receiver() as receiver:
        hooks = ["--hook-webhook", f"publish_start={hanging.url('/')}"]
        hooks += ["--hook-webhook", f"publish_start={receiver.url('/')}", "--hook-timeout", "1s"]
        with Daemon(tmp_path, hooks) as daemon:
            for n in range(3):
                publish(daemon, f"live/camera{n}")
            wait_until(lambda: len(receiver.posts) == 3, "the healthy endpoint has every event")
            daemon.wait_log(lambda log: "timed out" in log, "the time-out in the log")


def test_a_failing_endpoint_is_tried_again_and_what_it_never_takes_goes_elsewhere(
    publish: Publish, tmp_path: Path
) -> None:
    with Receiver(status=503) as failing, Receiver() as elsewhere:
        arguments = ["--hook-webhook", f"publish_*={failing.url('/')}", "--hook-retry-max-attempts", "3"]
        arguments += ["--hook-retry-initial-delay", "50ms", "--hook-retry-backoff", "fixed", "--hook-retry-jitter"]
        arguments += ["--hook-dead-letter-url", elsewhere.url("/failed")]
        with Daemon(tmp_path, arguments) as daemon:
            publish(daemon, "live/camera")
            wait_until(lambda: elsewhere.posts, "a dead letter")
            failing.status = 200
            wait_until(lambda: b'"publish_stop"' in failing.posts[-1].body, "the next event")
    letter = json.loads(elsewhere.posts[0].body)
    assert letter["event"]["type"] == "publish_start"
    assert (letter["attempts"], letter["last_error"]) == (3, "server returned status 503")
    assert len({post.headers["x-rtmp-event-id"] for post in failing.posts[:3]}) == 1


@proves("hooks.NAME.retry_delays")
def test_the_pauses_between_attempts_are_those_of_a_list(tmp_path: Path) -> None:
    attempts = tmp_path / "attempts"
    path = script(tmp_path / "fail.sh", f"date +%s%3N >> {attempts}\nexit 75\n")
    hook = f"[hooks]\n[[flaky]]\ntype = script\npath = {path}\nevent_types = server_start\n"
    with Daemon(tmp_path, ini=f"{hook}retry_delays = 0.2s, 1s\n"):
        wait_until(lambda: attempts.exists() and attempts.read_text().count("\n") == 3, "three attempts", 8.0)
        times = [int(line) for line in attempts.read_text().split()]
    pauses_ms = [after - before for before, after in pairwise(times)]
    assert len(pauses_ms) == 2 and 200 <= pauses_ms[0] < pauses_ms[1] and pauses_ms[1] >= 1000


# --- stdio --------------------------------------------------------------------------------------


def test_stdio_json_is_one_line_per_event_with_the_prefix_and_five_keys_in_order(
    publish: Publish, tmp_path: Path
) -> None:
    with Daemon(tmp_path) as daemon:
        publish(daemon, "live/camera")
        daemon.wait_event("connection_close")
    lines = daemon.stdout.read_bytes().split(b"\n")
    assert lines.pop() == b""
    for line in lines:
        assert line.startswith(PREFIX)
        event = json.loads(line[len(PREFIX) :])
        assert list(event) == ["type", "timestamp", "conn_id", "stream_key", "data"]
        assert line[len(PREFIX) :] == json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def test_stdio_env_is_a_block_of_variables_per_event_that_a_shell_can_source(publish: Publish, tmp_path: Path) -> None:
    with Daemon(tmp_path, events="env") as daemon:
        publish(daemon, "live/it's;$(date)")
        wait_until(lambda: b"# RTMP Event: connection_close\n" in daemon.stdout.read_bytes(), "the last block")
    blocks = daemon.stdout.read_text().split("\n\n")
    assert blocks.pop() == ""
    block = next(block for block in blocks if block.startswith("# RTMP Event: publish_start\n"))
    names = [line.partition("=")[0] for line in block.split("\n")[1:]]
    assert names[:4] == ["RTMP_EVENT_TYPE", "RTMP_TIMESTAMP", "RTMP_CONN_ID", "RTMP_STREAM_KEY"]
    source = ["/bin/bash", "-c", 'source /dev/stdin; printf %s "$RTMP_STREAM_KEY"']
    sourced = subprocess.run(source, input=block, capture_output=True, text=True)
    assert (sourced.stdout, sourced.stderr) == ("live/it's;$(date)", "")


# --- mistakes -----------------------------------------------------------------------------------


@proves("--hook-stdio-format")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hook-script", "publish_start"], "publish_start"),
        (["--hook-webhook", "publish_start"], "publish_start"),
        (["--hook-webhook", "publish_start=not a url"], "not a url"),
        (["--hook-stdio-format", "xml"], "xml"),
        (["--hook-timeout", "30"], "30"),
        (["--hook-timeout", "soon"], "soon"),
        (["--hook-concurrency", "many"], "many"),
        (["--hook-skript", "publish_start=/x"], "hook-script"),
    ],
)
def test_a_mistake_on_the_command_line_is_named_and_ends_with_status_2(arguments: list[str], said: str) -> None:
    ended = subprocess.run(
        rtmpd("-listen", "127.0.0.1:0", *arguments), cwd=REPOSITORY, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_old_script_runs_as_ever_beside_the_new_flags(publish: Publish, tmp_path: Path) -> None:
    """The second command line of the specification's compatibility tests."""
    arguments = ["--hook-script", f"connection_accept={dump_environment(tmp_path)}"]
    arguments += ["--hook-filter-events", "publish_start", "--hook-auth-api-key", "test123"]
    with Receiver() as receiver:
        hooked = [*arguments, "--hook-webhook", f"*={receiver.url('/')}"]
        with Daemon(tmp_path, hooked, events="") as daemon:
            publish(daemon, "live/camera")
            assert environment(tmp_path / "environment")["RTMP_EVENT_TYPE"] == "connection_accept"
            wait_until(lambda: receiver.posts, "a POST")
            assert "test123" not in daemon.log()
    assert [json.loads(post.body)["type"] for post in receiver.posts] == ["publish_start"]
    assert receiver.posts[0].headers["x-api-key"] == "test123"


def test_an_unknown_event_name_is_warned_of_with_the_nearest_one_and_the_daemon_starts(tmp_path: Path) -> None:
    with Daemon(tmp_path, ["--hook-script", "publish_begin=/bin/true"]) as daemon:
        daemon.wait_log(lambda log: "publish_begin" in log and "publish_start" in log, "the warning")
