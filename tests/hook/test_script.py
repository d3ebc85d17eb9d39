"""The script sink with real scripts."""

import os
import signal
import time

import gevent
import pytest

from rtmpd.clock import Clock
from rtmpd.errors import PermanentDeliveryError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook import child
from rtmpd.hook.sink.script import ScriptHook, command_of
from tests.support.waiting import until

EVENT = Event(
    "connection_accept",
    1634567890,
    "c000001",
    "",
    {
        "client_ip": "192.168.1.100",
        "client_port": 54321,
        "server_ip": "0.0.0.0",
        "server_port": 1935,
        "remote_addr": "192.168.1.100:54321",
        "tls": False,
    },
    "evt_01",
    7,
)


@pytest.fixture
def script(tmp_path):
    """Writes a script and gives its path; ``$out`` in it is a file of the test's folder."""

    def write(text, mode=0o644, name="hook"):
        path = tmp_path / name
        path.write_text(text.replace("$out", str(tmp_path / "out")))
        path.chmod(mode)
        return str(path)

    return write


def run(path, seconds=20.0, event=EVENT):
    hook = ScriptHook("shell_0", path, Clock())
    hook.execute(event, time.monotonic() + seconds)


def alive(pid):
    """Whether the process runs; one that has ended and waits for its parent to notice does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before the file was opened, or before it was read
        return False


def read_pid(path):
    until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def settled_descriptors():
    """How many are open when the pipes of earlier tests are gone."""
    until(lambda: child.ErrorOutput._lingering == 0)
    gevent.sleep(0)
    gevent.sleep(0)
    return descriptors()


# --- environment and command ----------------------------------------------------------------------


def test_the_environment_is_the_documented_one_byte_for_byte(script, tmp_path, monkeypatch):
    for name in ("HOME", "LANG", "TZ"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("SECRET_OF_THE_DAEMON", "x")
    run(script("cat /proc/$$/environ > $out\n"))
    assert (tmp_path / "out").read_bytes() == (
        b"PATH=/usr/bin:/bin\0"
        b"RTMP_EVENT_TYPE=connection_accept\0"
        b"RTMP_TIMESTAMP=1634567890\0"
        b"RTMP_CONN_ID=c000001\0"
        b"RTMP_EVENT_ID=evt_01\0"
        b"RTMP_EVENT_SEQ=7\0"
        b"RTMP_SEVERITY=info\0"
        b"RTMP_CLIENT_IP=192.168.1.100\0"
        b"RTMP_CLIENT_PORT=54321\0"
        b"RTMP_SERVER_IP=0.0.0.0\0"
        b"RTMP_SERVER_PORT=1935\0"
        b"RTMP_REMOTE_ADDR=192.168.1.100:54321\0"
        b"RTMP_TLS=false\0"
    )


def test_of_the_daemons_environment_four_names_are_passed_on(script, tmp_path, monkeypatch):
    for name in ("PATH", "HOME", "LANG", "TZ"):
        monkeypatch.setenv(name, f"/{name}:/bin")
    run(script("echo $PATH $HOME $LANG $TZ > $out\n"))
    assert (tmp_path / "out").read_text() == "/PATH:/bin /HOME:/bin /LANG:/bin /TZ:/bin\n"


def test_a_hostile_value_is_only_a_value(script, tmp_path):
    name = "live/$(touch pwned)`touch pwned`;touch pwned\n'\"=\x00ü"
    run(script('printf %s "$RTMP_STREAM_KEY" > $out\n'), event=Event("publish_start", 5, "c1", name))
    assert (tmp_path / "out").read_text() == "live/$(touch pwned)`touch pwned`;touch pwned'\"=ü"


def test_neither_the_exec_bit_nor_a_shebang_is_needed(script, tmp_path):
    run(script("[[ $BASH_VERSION ]] && echo bash > $out\n"))
    assert (tmp_path / "out").read_text() == "bash\n"


def test_stdin_is_empty(script, tmp_path):
    run(script("cat > $out; echo end >> $out\n"))
    assert (tmp_path / "out").read_text() == "end\n"


@pytest.mark.parametrize("line", ["#!/bin/sh", "#!/usr/bin/env bash", "#! /bin/bash -e", "#!/usr/bin/env -S sh -u", ""])
def test_shell_scripts_are_run_by_bash(script, line):
    path = script(f"{line}\n", 0o755)
    assert command_of(path) == ["/bin/bash", path]


@pytest.mark.parametrize("line", ["#!/usr/bin/python3", "#!/usr/bin/env python3", "#!/usr/bin/env -S A=1 perl -w"])
def test_an_executable_in_another_language_runs_by_itself(script, line):
    path = script(f"{line}\n", 0o755)
    assert command_of(path) == [path]


def test_another_language_without_the_exec_bit_goes_to_bash(script):
    path = script("#!/usr/bin/python3\n", 0o644)
    assert command_of(path) == ["/bin/bash", path]


def test_a_program_runs_by_itself():
    run("/bin/true")
    with pytest.raises(PermanentDeliveryError, match="exit status 1"):
        run("/bin/false")


def test_a_python_script_gets_the_event_too(script, tmp_path):
    run(script("#!/usr/bin/env python3\nimport os\nopen('$out', 'w').write(os.environ['RTMP_CONN_ID'])\n", 0o755))
    assert (tmp_path / "out").read_text() == "c000001"


# --- the answer -----------------------------------------------------------------------------------


def test_status_75_is_worth_another_try(script):
    with pytest.raises(TransientDeliveryError) as raised:
        run(script("exit 75\n"))
    assert raised.value.code == "exit:75"


@pytest.mark.parametrize("status", [1, 2, 64, 74, 76, 127, 255])
def test_any_other_status_is_final(script, status):
    with pytest.raises(PermanentDeliveryError) as raised:
        run(script(f"exit {status}\n"))
    assert raised.value.code == f"exit:{status}"


def test_the_end_by_a_signal_is_worth_another_try(script):
    with pytest.raises(TransientDeliveryError) as raised:
        run(script("kill -9 $$\n"))
    assert raised.value.code == "signal:9"


def test_the_last_line_of_stderr_is_in_the_error(script):
    with pytest.raises(PermanentDeliveryError) as raised:
        run(script("echo first >&2; echo not this; echo 'disk is full' >&2; echo >&2; exit 3\n"))
    assert str(raised.value) == "exit status 3: disk is full"


def test_a_script_that_is_not_there_is_said_to_be_so(tmp_path):
    with pytest.raises(PermanentDeliveryError, match="No such file"):
        run(str(tmp_path / "nothing"))


def test_an_interpreter_that_is_not_there_is_said_to_be_so(script):
    with pytest.raises(PermanentDeliveryError, match=r"cannot be started: its interpreter '/nonexistent/interpreter'"):
        run(script("#!/nonexistent/interpreter\n", 0o755))
    with pytest.raises(PermanentDeliveryError, match=r"line ends in a carriage return \(CR\), so '/usr/bin/python3'"):
        run(script("#!/usr/bin/python3\r\n", 0o755))


def test_a_lack_of_processes_is_worth_another_try(script, monkeypatch):
    def refuse(*args, **kwargs):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(child, "_posix_spawn", refuse)
    before = settled_descriptors()
    with pytest.raises(TransientDeliveryError) as raised:
        run(script(""))
    assert raised.value.code == "EAGAIN"
    assert descriptors() == before


# --- the end --------------------------------------------------------------------------------------


def test_a_hanging_script_and_its_children_are_gone_after_the_timeout(script, tmp_path):
    path = script(
        "sleep 3600 & echo $! > $out\n"
        "(sleep 3601 & echo $! > $out.deep; wait) &\n"
        "echo $$ > $out.self\nwait\n"
    )
    with pytest.raises(TransientDeliveryError, match="timed out") as raised:
        run(path, seconds=1.0)
    assert raised.value.code == "timeout"
    pids = [read_pid(tmp_path / name) for name in ("out", "out.deep", "out.self")]
    until(lambda: not any(alive(pid) for pid in pids))


def test_children_that_ignore_sigterm_are_killed_after_the_grace(script, tmp_path, monkeypatch):
    monkeypatch.setattr(child.Child.end, "__defaults__", (0.2,))
    path = script("bash -c 'trap : TERM; echo $$ > $out; while :; do sleep 0.1; done' & wait\n")
    with pytest.raises(TransientDeliveryError):
        run(path, seconds=1.0)
    pid = read_pid(tmp_path / "out")
    until(lambda: not alive(pid))


def test_a_script_may_clean_up_at_sigterm(script, tmp_path):
    path = script("trap 'echo clean > $out.clean; exit' TERM\necho $$ > $out\nwhile :; do sleep 0.05; done\n")
    with pytest.raises(TransientDeliveryError):
        run(path, seconds=1.0)
    assert (tmp_path / "out.clean").read_text() == "clean\n"


def test_what_a_script_leaves_in_the_background_lives_on(script, tmp_path):
    """Also one that goes on writing to stderr: the pipe is read as long as somebody holds it."""
    path = script(
        "nohup bash -c 'echo $$ > $out.pid; until [ -e $out.go ]; do sleep 0.05; done;"
        " for turn in 1 2 3; do printf %070000d 0 >&2; done; echo survived > $out' &\n"
    )
    before = settled_descriptors()
    run(path)
    pid = read_pid(tmp_path / "out.pid")
    assert alive(pid)
    (tmp_path / "out.go").touch()
    until((tmp_path / "out").exists)
    until(lambda: not alive(pid))
    until(lambda: descriptors() == before)


def test_what_is_left_in_the_background_does_not_keep_the_execution_busy(script, tmp_path):
    run(script("sleep 3600 & echo $! > $out\n"))  # would be a timeout
    os.kill(read_pid(tmp_path / "out"), signal.SIGKILL)


def test_pipes_of_background_processes_are_bounded(script, tmp_path, monkeypatch):
    monkeypatch.setattr(child, "_LINGERING_PIPES", 0)
    before = settled_descriptors()
    run(script("sleep 3600 & echo $! > $out\n"))
    until(lambda: descriptors() == before)
    os.kill(read_pid(tmp_path / "out"), signal.SIGKILL)


def test_much_output_neither_blocks_the_script_nor_fills_memory(script):
    run(script("head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2\n"))


def test_of_much_output_the_end_is_kept(script):
    with pytest.raises(PermanentDeliveryError, match="the last word"):
        run(script("head -c 5000000 /dev/zero | tr '\\0' '\\n' >&2; echo the last word >&2; exit 1\n"))


def test_a_script_ends_with_the_greenlet_that_runs_it(script, tmp_path):
    runner = gevent.spawn(run, script("sleep 3600 & echo $! > $out; wait\n"), 3600)
    pid = read_pid(tmp_path / "out")
    runner.kill()
    until(lambda: not alive(pid))


def test_many_ends_leave_nothing_behind(script):
    path = script("exit 0\n")
    before = settled_descriptors()
    gevent.joinall([gevent.spawn(run, path) for _ in range(50)], raise_error=True)
    until(lambda: descriptors() == before)
    children = [entry for entry in os.listdir("/proc") if entry.isdigit() and parent_of(entry) == os.getpid()]
    assert not [entry for entry in children if not alive(entry)]


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def test_no_signal_that_python_ignores_is_ignored_in_the_script(script, tmp_path):
    run(script("grep SigIgn /proc/$$/status > $out\n"))
    ignored = int((tmp_path / "out").read_text().split()[1], 16)
    assert [number for number in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> number - 1 & 1] == []
