"""From root to somebody else. What changes the process is done in a child."""

from __future__ import annotations

import grp
import os
import pwd
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from rtmpd.daemon import privileges
from rtmpd.errors import StartError
from rtmpd.settings import CORE_NO, CORE_YES, DaemonSettings
from tests.support.proof import proves

ROOT = Path(__file__).resolve().parents[2]
SETUP = "import resource as r; from rtmpd.daemon import privileges as p; from rtmpd.settings import DaemonSettings as D"
NOBODY = pwd.getpwnam("nobody")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def in_a_child(code: str) -> str:
    """What ``code`` prints in a process of its own."""
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def status_line(text: str, name: str) -> list[str]:
    return next(line.split()[1:] for line in text.splitlines() if line.startswith(f"{name}:"))


@needs_root
def test_the_user_its_groups_and_home_are_taken_and_only_low_ports_are_kept() -> None:
    text = in_a_child(
        "import os; from rtmpd.daemon import privileges as p; os.setgroups([0, 4242]);"
        "p.become(p.identity('nobody', ''));"
        "print(open('/proc/self/status').read(), 'HOME:', os.environ['HOME'], os.environ['USER'])"
    )
    assert status_line(text, "Uid") == [str(NOBODY.pw_uid)] * 4
    assert status_line(text, "Gid") == [str(NOBODY.pw_gid)] * 4
    assert not {"0", "4242"} & set(status_line(text, "Groups"))
    kept = int(status_line(text, "CapPrm")[0], 16)
    assert kept == int(status_line(text, "CapEff")[0], 16)
    assert kept in (0, 1 << 10)
    assert int(status_line(text, "CapInh")[0], 16) == 0
    assert f"HOME: {NOBODY.pw_dir} nobody" in text


@needs_root
def test_a_low_port_can_be_bound_afterwards_but_root_can_not_be_had_again() -> None:
    text = in_a_child(
        "import os, socket; from rtmpd.daemon import privileges as p\n"
        "ours = int(next(l for l in open('/proc/self/status') if l.startswith('CapEff')).split()[1], 16)\n"
        "p.become(p.identity('nobody', ''))\n"
        "try:\n os.setuid(0); print('root again')\nexcept PermissionError: print('not root')\n"
        "try:\n open('/etc/shadow'); print('reads all')\nexcept PermissionError: print('reads little')\n"
        "if not ours & 1 << 10: print('bound')\n"
        "for port in range(600, 1024):\n"
        "  s = socket.socket()\n"
        "  try: s.bind(('127.0.0.1', port))\n"
        "  except PermissionError: break\n"
        "  except OSError: continue\n"
        "  print('bound'); break\n"
    )
    assert text.split("\n")[:3] == ["not root", "reads little", "bound"]


@proves("daemon.user", "daemon.group")
@needs_root
def test_the_daemon_becomes_who_the_file_names(tmp_path: Path) -> None:
    group = next(entry for entry in grp.getgrall() if entry.gr_gid not in (0, NOBODY.pw_gid))
    file = tmp_path / "rtmpd.ini"
    file.write_text(f"[daemon]\nuser = nobody\ngroup = {group.gr_name}\n")
    text = in_a_child(
        "from rtmpd.config import flags; from rtmpd.config.loader import load; from rtmpd.daemon import process\n"
        f"settings = load(flags.parse(['-c', {str(file)!r}]), [], {{}}, None, None).settings.daemon\n"
        "process.run(settings, lambda service: print(open('/proc/self/status').read()) or 0, '')"
    )
    assert status_line(text, "Uid") == [str(NOBODY.pw_uid)] * 4
    assert status_line(text, "Gid") == [str(group.gr_gid)] * 4


@needs_root
def test_another_group_goes_without_another_user() -> None:
    group = grp.getgrgid(NOBODY.pw_gid).gr_name
    text = in_a_child(
        f"from rtmpd.daemon import privileges as p; p.become(p.identity('', '{group}'));"
        "print(open('/proc/self/status').read())"
    )
    assert status_line(text, "Uid") == ["0"] * 4
    assert status_line(text, "Gid") == [str(NOBODY.pw_gid)] * 4
    assert status_line(text, "Groups") == [str(NOBODY.pw_gid)]


def test_who_is_not_root_becomes_nobody_else() -> None:
    code = (
        f"{SETUP}\n"
        "import os\n"
        f"if os.geteuid() == 0: os.setgid({NOBODY.pw_gid}); os.setuid({NOBODY.pw_uid})\n"
        "try: p.identity('root', '')\n"
        "except Exception as error: print(type(error).__name__, error.status, error)"
    )
    assert in_a_child(code) == f"StartError {os.EX_NOPERM} only root can become root\n"


def test_who_we_are_already_needs_no_change() -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert privileges.identity("", "") is None
    assert privileges.identity(me, grp.getgrgid(os.getegid()).gr_name) is None


@pytest.mark.parametrize(("user", "group"), [("no-such-user", ""), ("", "no-such-group")])
def test_a_name_that_is_not_known_is_status_67(user: str, group: str) -> None:
    with pytest.raises(StartError, match=user or group) as caught:
        privileges.identity(user, group)
    assert caught.value.status == os.EX_NOUSER


@proves("daemon.open_files")
def test_the_limit_on_open_files_is_raised_and_never_lowered() -> None:
    code = (
        f"{SETUP}\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, 500))\n"
        "for wanted in (0, 32, 300, 100): p.limit(D(open_files=wanted)); print(r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    assert in_a_child(code).split() == ["64", "64", "300", "300"]


@needs_root
def test_root_raises_the_hard_limit_too() -> None:
    code = (
        f"{SETUP}\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, 500)); p.limit(D(open_files=900)); print(r.getrlimit(r.RLIMIT_NOFILE))"
    )
    assert in_a_child(code).strip() in ("(900, 900)", "(500, 500)")  # without CAP_SYS_RESOURCE it goes as far as it can


@proves("daemon.core_dumps")
@pytest.mark.parametrize(("word", "expected"), [(CORE_NO, 0), (CORE_YES, resource.getrlimit(resource.RLIMIT_CORE)[1])])
def test_core_dumps_are_had_or_not(word: str, expected: int) -> None:
    code = (
        f"{SETUP}\n"
        f"s = D(core_dumps='{word}'); p.limit(s); p.keep_core_dumps(s); print(r.getrlimit(r.RLIMIT_CORE)[0])"
    )
    assert int(in_a_child(code)) == expected
    assert DaemonSettings().core_dumps == "as-is"
