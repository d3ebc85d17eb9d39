"""The scripts that a newcomer runs first. They work on the .venv that scripts/test made."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN = str(ROOT / "scripts" / "run")

needs_venv = pytest.mark.skipif(
    not (ROOT / ".venv" / "installed-test").exists() or (ROOT / ".venv").is_symlink(),
    reason="needs the .venv that scripts/test makes",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """scripts/run as the leader of a session, of which nothing is left at the end."""
    child = subprocess.Popen(
        [RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield child
    finally:
        for pid in session_of(child.pid):
            os.kill(pid, signal.SIGKILL)
        child.communicate()


def session_of(leader: int) -> list[int]:
    """The processes of the session that ``leader`` leads, zombies not counted."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it ended in between
            continue
        if int(session) == leader and state != "Z":
            members.append(int(stat.parent.name))
    return members


def read_until(child: subprocess.Popen[str], *wanted: str) -> None:
    """Read events until each of the wanted types came."""
    assert child.stdout is not None
    missing, seen = set(wanted), ""
    for line in child.stdout:
        seen += line
        missing -= {one for one in missing if f'"type":"{one}"' in line}
        if not missing:
            return
    pytest.fail(f"{missing} never came, but this did:\n{seen}\n{child.stderr.read() if child.stderr else ''}")


def test_help_says_what_the_script_does_and_starts_nothing() -> None:
    answer = subprocess.run([RUN, "--help"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("usage: scripts/run [--demo]")
    assert answer.stderr == ""


@needs_venv
def test_the_demo_shows_events_and_ctrl_c_ends_all_of_it() -> None:
    with running("--demo", "-listen", f"127.0.0.1:{free_port()}") as child:
        read_until(child, "publish_start", "play_start")
        assert len(session_of(child.pid)) == 4  # the script, the daemon, the publisher, the player
        os.kill(child.pid, signal.SIGINT)
        events, log = child.communicate(timeout=30)
        assert child.returncode == 0, log
        assert '"type":"publish_stop"' in events
        assert session_of(child.pid) == []


@needs_venv
@pytest.mark.parametrize("children", [1, 2, 3])
def test_ctrl_c_at_the_moment_a_child_appears_ends_all_of_it(children: int) -> None:
    with running("--demo", "-listen", f"127.0.0.1:{free_port()}") as child:
        deadline = time.monotonic() + 60
        while sum(is_rtmpd(pid) for pid in session_of(child.pid)) < children:
            assert time.monotonic() < deadline and child.poll() is None
        os.kill(child.pid, signal.SIGINT)
        _, log = child.communicate(timeout=60)
        assert child.returncode == 0, log
        assert session_of(child.pid) == []


def is_rtmpd(pid: int) -> bool:
    """Whether it is a program of the demo, from the moment it is started."""
    try:
        return b"/bin/rtmpd" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended in between
        return False


def test_an_environment_behind_a_link_is_never_emptied(tmp_path: Path) -> None:
    """It is somebody else's: the one of another tree, for example."""
    tree, shared = tmp_path / "tree", tmp_path / "shared"
    (tree / "scripts").mkdir(parents=True)
    for name in ("scripts/venv", "setup.py", "setup.cfg"):
        shutil.copy(ROOT / name, tree / name)
    (shared / "bin").mkdir(parents=True)
    (shared / "bin" / "python").touch(mode=0o755)
    (tree / ".venv").symlink_to(shared)
    result = subprocess.run([str(tree / "scripts/venv"), "test"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and f".venv is a link to {shared}" in result.stderr
    assert (shared / "bin" / "python").exists()


@needs_venv
@pytest.mark.parametrize("demo", [[], ["--demo"]], ids=["plain", "demo"])
def test_a_busy_port_is_reported_and_leaves_no_process_behind(demo: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with running(*demo, "-listen", f"127.0.0.1:{port}") as child:
            _, log = child.communicate(timeout=30)
            assert child.returncode not in (0, -signal.SIGINT)
            assert "in use" in log
            assert str(port) in log
            assert session_of(child.pid) == []
