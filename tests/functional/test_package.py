"""The Debian package: built, installed, run and purged in a copy of this system that is thrown away.

It takes a network and half a minute, so it is a step of its own: ``RTMPD_TEST_PACKAGE=yes scripts/test
tests/functional/test_package.py``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.functional.child import REPOSITORY

pytestmark = [
    pytest.mark.skipif(os.environ.get("RTMPD_TEST_PACKAGE") != "yes", reason="RTMPD_TEST_PACKAGE=yes asks for it"),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("dpkg-deb"), reason="needs root on a Debian system"),
    pytest.mark.timeout(300),
]

# In mount and network namespaces of their own, with the system below an overlay: port 1935 is nobody else's there.
OVERLAY = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/system"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/system"
mount --rbind /proc "$1/system/proc"
mount --rbind /dev "$1/system/dev"
cp "$2" "$1/system/rtmpd.deb"
printf '#!/bin/sh\\nexit 0\\n' >"$1/system/usr/sbin/policy-rc.d"
chmod 755 "$1/system/usr/sbin/policy-rc.d"
chroot "$1/system" sh -c "$3"
"""
INSIDE = """
step() { echo "== $1: $2"; }
export DEBIAN_FRONTEND=noninteractive
dpkg -i /rtmpd.deb; step install $?
/etc/init.d/rtmpd start; step start $?
/etc/init.d/rtmpd status; step status $?
ps -o user= -p "$(cat /run/rtmpd.pid)"
rtmpctl status; step rtmpctl $?
/etc/init.d/rtmpd reload; step reload $?
dpkg -i /rtmpd.deb; step upgrade $?
/etc/init.d/rtmpd status; step "status after the upgrade" $?
dpkg -r rtmpd; step remove $?
test -e /etc/rtmpd/rtmpd.ini && test -d /var/log/rtmpd; step "configuration and logs kept" $?
test ! -e /run/rtmpd.pid && ! pgrep -r R,S,D -u rtmpd; step stopped $?
dpkg -P rtmpd; step purge $?
ls -d /usr/lib/rtmpd /etc/rtmpd /var/lib/rtmpd /var/log/rtmpd /usr/bin/rtmpd 2>/dev/null; step "nothing is left" $?
getent passwd rtmpd; step "no user is left" $?
"""


def test_the_package_installs_runs_upgrades_and_goes_without_a_trace(tmp_path: Path) -> None:
    built = subprocess.run(
        [str(REPOSITORY / "scripts/build-deb"), str(tmp_path)], capture_output=True, text=True, check=True
    )
    package = built.stdout.strip()
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    result = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", OVERLAY, "sh", str(overlay), package, INSIDE],
        capture_output=True, text=True,
    )  # fmt: skip
    if "mount" in result.stderr and "==" not in result.stdout:
        pytest.skip(f"no overlay here: {result.stderr.splitlines()[-1]}")
    steps = dict(line[3:].rsplit(": ", 1) for line in result.stdout.splitlines() if line.startswith("== "))
    expected = dict.fromkeys(steps, "0") | {"nothing is left": "2", "no user is left": "2"}
    assert steps == expected and len(steps) == 13, result.stdout + result.stderr
    assert "\nrtmpd\n" in result.stdout
