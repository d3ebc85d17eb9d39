"""The Debian package: built, installed and lived with, in a copy of a system that is thrown away.

It takes a network and two minutes, so it is a step of its own: ``RTMPD_TEST_PACKAGE=yes scripts/test
tests/functional/test_package.py``. The system is this one, or the one in the folder that ``RTMPD_TEST_PACKAGE_SYSTEM``
names, as one of ``debootstrap --include=python3,python3-venv,logrotate,procps,adduser,binutils trixie FOLDER``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.child import REPOSITORY

pytestmark = [
    pytest.mark.skipif(os.environ.get("RTMPD_TEST_PACKAGE") != "yes", reason="RTMPD_TEST_PACKAGE=yes asks for it"),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("dpkg-deb"), reason="needs root on a Debian system"),
    pytest.mark.timeout(600),
]

# In mount and network namespaces of their own, with the system below an overlay: port 1935 is nobody else's there. The
# package is built before the network is gone.
OVERLAY = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/system"
mount -t overlay overlay -o "lowerdir=$4,upperdir=$1/upper,workdir=$1/work" "$1/system"
mount --rbind /proc "$1/system/proc"
mount --rbind /dev "$1/system/dev"
mkdir -p "$1/system/src"
mount --bind "$2" "$1/system/src"
cp /etc/resolv.conf "$1/system/etc/resolv.conf" || true
printf '#!/bin/sh\\nexit 0\\n' >"$1/system/usr/sbin/policy-rc.d"
chmod 755 "$1/system/usr/sbin/policy-rc.d"
rm -rf "$1/system/run/rtmpd" "$1/system/etc/rtmpd" "$1/system/usr/lib/rtmpd"
chroot "$1/system" sh -c 'cd /src && scripts/build-deb /package 2>&1' >"$1/build.log" || { cat "$1/build.log"; exit 1; }
exec unshare --net chroot "$1/system" sh -c "ip link set lo up 2>/dev/null || /usr/bin/python3 -c '$5'; $3"
"""
# What ip does, where there is no ip: SIOCSIFFLAGS with IFF_UP and IFF_RUNNING.
LOOPBACK_UP = (
    "import fcntl, socket, struct; fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, "
    'struct.pack("16sh14x", b"lo", 0x41))'
)
INSIDE = r"""
exec 2>&1
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
package=$(echo /package/*.deb)
step() { echo "== $1: $2"; }
listening() { grep -q ' 0100007F:078F 00000000:0000 0A' /proc/net/tcp; }
hold_port() {
    python3 -c 'import socket, time; s = socket.create_server(("127.0.0.1", 1935)); time.sleep(600)' & holder=$!
    until listening; do sleep 0.1; done
}
free_port() { kill $holder; wait $holder; }
pid() { cat /run/rtmpd.pid; }

hold_port
dpkg -i $package; step 'installed while the port is taken' $?
/etc/init.d/rtmpd status; step 'so it does not run' $?
free_port
/etc/init.d/rtmpd start; step start $?
listening; step 'it listens on the loopback address' $?
! grep -E ':078F 0+:0000 0A' /proc/net/tcp /proc/net/tcp6 | grep -v 0100007F; step 'and on no other' $?
test "$(ps -o user= -p $(pid))" = rtmpd; step 'as its user' $?
rtmpctl status; step rtmpctl $?
/etc/init.d/rtmpd reload; step reload $?
modes=$(stat -c '%U %G %a' /etc/default/rtmpd /etc/rtmpd/rtmpd.ini | sort -u)
test "$modes" = 'root rtmpd 640'; step 'private files' $?
! dpkg-query -W -f '${Conffiles}' rtmpd | grep rtmpd.ini; step 'the configuration is never asked about' $?
/usr/lib/rtmpd/bin/python -c 'import cryptography, yaml'; step 'extras are there' $?
rtmpd files prometheus/alerts.yml >/dev/null; step 'files are listed' $?
(cd /usr/share && ls rtmpd/grafana/prometheus.json doc/rtmpd/hooks.md man/man8/rtmpd.8); step 'papers are there' $?

before=$(pid)
dpkg -i $package; step upgrade $?
test $before != $(pid) && /etc/init.d/rtmpd status; step 'restarted by the upgrade' $?
cp -a /etc/rtmpd/rtmpd.ini /good
echo nonsense >>/etc/rtmpd/rtmpd.ini
before=$(pid)
dpkg -i $package; step 'upgraded while the file is refused' $?
test $before = $(pid) && /etc/init.d/rtmpd status; step 'which leaves the old one running' $?
/etc/init.d/rtmpd reload; step 'a reload of a bad file' $?
cp -a /good /etc/rtmpd/rtmpd.ini
/etc/init.d/rtmpd stop
dpkg -i $package; step 'upgraded while stopped' $?
/etc/init.d/rtmpd status; step 'which does not start it' $?
cp -a /etc/default/rtmpd /default
echo ENABLED=no >>/etc/default/rtmpd
dpkg -i $package; step 'upgraded while switched off' $?
dpkg -r rtmpd; step 'removed while switched off' $?
dpkg -i $package; step 'installed again while switched off' $?
/etc/init.d/rtmpd status; step 'and it does not run' $?
cp -a /default /etc/default/rtmpd

echo 'SECRET=one' >>/etc/default/rtmpd
hook='[[out]]\ntype = webhook\nurl = http:\/\/127.0.0.1:9\/${SECRET}\nevent_types = publish_start'
sed -i "s/^\[log\]/$hook\n[log]\nlevel = \${LEVEL:-info}/" /etc/rtmpd/rtmpd.ini
/etc/init.d/rtmpd start; step 'started with a secret' $?
chown root:root /etc/default/rtmpd; chmod 600 /etc/default/rtmpd
/etc/init.d/rtmpd reload; step 'a reload of what only root can read' $?
/etc/init.d/rtmpd restart; step 'a restart of what only root can read' $?
/etc/init.d/rtmpd status; step 'it runs on' $?
chown root:rtmpd /etc/default/rtmpd; chmod 640 /etc/default/rtmpd
echo 'LEVEL=debug' >>/etc/default/rtmpd
/etc/init.d/rtmpd reload; step 'reloaded with another value' $?
rtmpctl log-level | grep debug; step 'which is in effect' $?

ln -s rtmpd /etc/init.d/rtmpd-west
cat >/etc/rtmpd/rtmpd-west.ini <<'INI'
[server]
listen = 127.0.0.1:1936
[http]
socket = /run/rtmpd/west.sock
[store]
path = /var/lib/rtmpd/west.db
INI
/etc/init.d/rtmpd-west start; step 'second instance' $?
rtmpctl -c /etc/rtmpd/rtmpd-west.ini status; step 'asked by its configuration' $?
for round in 1 2; do
    logrotate -f /etc/logrotate.d/rtmpd; step "logrotate $round" $?
    for name in rtmpd rtmpd-west; do
        /etc/init.d/$name reload
        grep 'configuration reloaded' /var/log/rtmpd/$name.log; step "$name goes on in a new log $round" $?
    done
done
/etc/init.d/rtmpd-west stop; step 'second instance stopped' $?
rm /etc/init.d/rtmpd-west

/etc/init.d/rtmpd stop
rm -rf /run/rtmpd
rtmpd -c /dev/null -listen 127.0.0.1:1937 2>/by-hand.log & hand=$!
for try in $(seq 100); do grep -q 'server started' /by-hand.log && break; sleep 0.1; done
rtmpctl status; step 'rtmpctl of a fresh root shell' $?
kill $hand; wait $hand; step 'stopped by hand' $?

/etc/init.d/rtmpd start
dpkg -r rtmpd; step remove $?
test -e /etc/rtmpd/rtmpd.ini && test -d /var/log/rtmpd; step 'configuration and logs kept' $?
test ! -e /run/rtmpd.pid && ! pgrep -r R,S,D -u rtmpd; step stopped $?
dpkg -i $package; step 'installed again' $?
/etc/init.d/rtmpd status; step 'and it runs' $?
dpkg -P rtmpd; step purge $?
ls -d /usr/lib/rtmpd /etc/rtmpd /var/lib/rtmpd /var/log/rtmpd /usr/bin/rtmpd 2>/dev/null; step 'nothing is left' $?
getent passwd rtmpd; step 'no user is left' $?
"""
#: Whatever is not 0.
STATUSES = {
    "so it does not run": "3",
    "a reload of a bad file": "6",
    "which does not start it": "3",
    "and it does not run": "3",
    "a reload of what only root can read": "6",
    "a restart of what only root can read": "6",
    "nothing is left": "2",
    "no user is left": "2",
}


def test_a_day_with_the_package(tmp_path: Path) -> None:
    """From an installation that finds the port taken to one that leaves nothing behind."""
    source, overlay = tmp_path / "src", tmp_path / "overlay"
    ignored = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache", "*.egg-info")
    shutil.copytree(REPOSITORY, source, ignore=ignored)
    overlay.mkdir()
    system = os.environ.get("RTMPD_TEST_PACKAGE_SYSTEM", "/")
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-c", OVERLAY, "sh", str(overlay), str(source), INSIDE, system, LOOPBACK_UP],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if "mount:" in result.stdout and "==" not in result.stdout:
        pytest.skip(f"no overlay here: {result.stdout.splitlines()[-1]}")
    steps = dict(line[3:].rsplit(": ", 1) for line in result.stdout.splitlines() if line.startswith("== "))
    expected = {name: STATUSES.get(name, "0") for name in steps}
    assert steps == expected and len(steps) == INSIDE.count("; step ") + 4, result.stdout  # 4 more by loops
    assert "chgrp GROUP FILE" in result.stdout
