"""A real StatsD, carbon and Graphite-web, in a folder of their own and on ports of their own.

On Debian: ``apt-get install --no-install-recommends graphite-carbon graphite-web nodejs npm`` and
``npm install --prefix .venv/npm statsd@0.9.0``. ``RTMPD_TEST_STATSD`` names another ``stats.js``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from tests.support.child import REPOSITORY, Child, ErrorType, free_port, is_listening
from tests.support.waiting import wait_until

STATS_JS = Path(os.environ.get("RTMPD_TEST_STATSD", REPOSITORY / ".venv/npm/node_modules/statsd/stats.js"))
MANAGE = "/usr/bin/graphite-manage"
_SYSTEM = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "", "VIRTUAL_ENV": ""}

_CARBON = """\
[cache]
STORAGE_DIR = {home}/storage
CONF_DIR = {home}
LOG_DIR = {home}/log
PID_DIR = {home}
LOCAL_DATA_DIR = {home}/storage/whisper
USER =
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {carbon}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query}
"""
_STATSD = """\
{{ port: {statsd}, address: "127.0.0.1", mgmt_port: {manage}, mgmt_address: "127.0.0.1",
  graphiteHost: "127.0.0.1", graphitePort: {carbon}, backends: ["./backends/graphite"],
  flushInterval: 1000, deleteIdleStats: true,
  graphite: {{ legacyNamespace: false, globalPrefix: "stats" }} }}
"""
_DJANGO = """\
SECRET_KEY = "test"
ALLOWED_HOSTS = ["*"]
TIME_ZONE = "UTC"
GRAPHITE_ROOT = "/usr/share/graphite-web"
STATIC_ROOT = "/usr/share/graphite-web/static"
CONF_DIR = "{home}"
STORAGE_DIR = "{home}/storage"
LOG_DIR = "{home}/log"
INDEX_FILE = "{home}/storage/index"
WHISPER_DIR = "{home}/storage/whisper"
CARBONLINK_HOSTS = ["127.0.0.1:{query}"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "{home}/graphite.db"}}}}
"""


def missing() -> str:
    """What of it is not on this machine, "" if it is all there."""
    wanted = {"carbon-cache": shutil.which("carbon-cache"), "graphite-web": os.path.exists(MANAGE)}
    wanted |= {"node": shutil.which("node"), "StatsD (see tests/functional/graphite.py)": STATS_JS.exists()}
    return ", ".join(name for name, found in wanted.items() if not found)


class Graphite:
    """The three servers until the context ends. ``statsd`` is the port that metrics go to."""

    def __init__(self, home: Path) -> None:
        self.home = home
        names = ("statsd", "manage", "carbon", "pickle", "query", "web")
        self._ports = {name: free_port() for name in names}
        self.statsd = self._ports["statsd"]
        self._children: list[Child] = []

    def __enter__(self) -> Graphite:
        for folder in ("log", "storage/whisper"):
            (self.home / folder).mkdir(parents=True)
        for name, text in (("carbon.conf", _CARBON), ("statsd.js", _STATSD), ("rtmpd_test_graphite.py", _DJANGO)):
            (self.home / name).write_text(text.format(home=self.home, **self._ports))
        schemas = (REPOSITORY / "etc/graphite/storage-schemas.conf").read_text()
        assert "10s:6h" in schemas
        # StatsD flushes each second here.
        (self.home / "storage-schemas.conf").write_text(schemas.replace("10s:6h", "1s:6h"))
        shutil.copy(REPOSITORY / "etc/graphite/storage-aggregation.conf", self.home)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self) -> None:
        carbon = ["carbon-cache", f"--config={self.home}/carbon.conf", "--nodaemon", f"--logdir={self.home}/log"]
        self._child("carbon", "carbon", [*carbon, f"--pidfile={self.home}/carbon.pid", "start"], _SYSTEM)
        self._child("statsd", "manage", ["node", str(STATS_JS), f"{self.home}/statsd.js"], {})
        django = {**_SYSTEM, "PYTHONPATH": str(self.home), "GRAPHITE_SETTINGS_MODULE": "rtmpd_test_graphite"}
        django["DJANGO_SETTINGS_MODULE"] = "graphite.settings"
        environ, migrate = {**os.environ, **django}, [MANAGE, "migrate", "--run-syncdb"]
        subprocess.run(migrate, env=environ, check=True, capture_output=True, timeout=60)
        web = [MANAGE, "runserver", "--noreload", "--insecure", f"127.0.0.1:{self._ports['web']}"]
        self._child("web", "web", web, django)

    def _child(self, name: str, port: str, command: list[str], env: dict[str, str]) -> None:
        child = Child(command, self.home / f"{name}.log", env=env)
        self._children.append(child)
        wait_until(lambda: is_listening(self._ports[port]) or not child.running(), f"{name} listens", 30.0)
        assert child.running(), child.describe()

    def __exit__(self, kind: ErrorType, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for child in reversed(self._children):
            child.close()

    def render(self, target: str) -> list[dict[str, Any]]:
        """The series of a target over the last minute; only what has a value."""
        query = {"target": target, "from": "-60s", "format": "json"}
        answer = requests.get(f"http://127.0.0.1:{self._ports['web']}/render", params=query, timeout=20)
        assert answer.ok, f"{target}: {answer.status_code} {answer.text[:300]}"
        found: list[dict[str, Any]] = answer.json()
        return [series for series in found if self.values(series)]

    @staticmethod
    def values(series: dict[str, Any]) -> list[float]:
        """The values of a series that are there."""
        return [value for value, _ in series["datapoints"] if value is not None]

    def save_dashboard(self, name: str, state: str) -> dict[str, Any]:
        """What Graphite-web says to being given a dashboard, and then the dashboard as it has it."""
        base = f"http://127.0.0.1:{self._ports['web']}/dashboard"
        saved = requests.post(f"{base}/save/{name}", data={"state": state}, timeout=20).json()
        assert saved == {"success": True}, saved
        loaded: dict[str, Any] = requests.get(f"{base}/load/{name}", timeout=20).json()["state"]
        return loaded
