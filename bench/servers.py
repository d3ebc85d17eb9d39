"""The servers that are compared: how each is configured, started on one processor, and ended."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .process import end

ROOT = Path(__file__).resolve().parents[1]
NGINX_MODULES = (
    Path("/usr/lib/nginx/modules/ngx_rtmp_module.so"),
    Path("/usr/share/nginx/modules/ngx_rtmp_module.so"),
)
NGINX_PACKAGES = "nginx-light libnginx-mod-rtmp"
START_TIMEOUT_S = 15.0


class ServerFailed(Exception):
    """A server did not start."""


NGINX_CONFIG = """\
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log {directory}/server.log error;
events {{ worker_connections 8192; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        chunk_size 4096;
        ping 10m;
        application live {{ live on; }}
    }}
}}
"""

RTMPD_CONFIG = """\
[server]
listen = 127.0.0.1:{port}
[limits]
ping_interval = 600
ping_timeout = 1200
[apps]
{flush}
{sections}
[log]
level = warning
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """One server in one configuration. ``flush`` holds lines for rtmpd's ``[apps]``, ``sections`` whole sections."""

    name: str
    program: str
    flush: str = ""
    sections: str = ""


NGINX = Contender("nginx-rtmp", "nginx")
RTMPD = Contender("rtmpd", "rtmpd")
RTMPD_UNWATCHED = Contender("rtmpd, monitor off", "rtmpd", sections="[quality]\nenabled = no")
RTMPD_FLUSH = {
    "immediate": Contender("rtmpd immediate", "rtmpd", "flush = immediate"),
    "default": Contender("rtmpd default", "rtmpd"),
    "window": Contender("rtmpd window 50 ms", "rtmpd", "flush = window\nflush_window = 50ms"),
}


def nginx_module() -> Path | None:
    """The RTMP module of Debian's nginx, or None if it or nginx is missing."""
    if _nginx_binary() is None:
        return None
    return next((path for path in NGINX_MODULES if path.exists()), None)


def _nginx_binary() -> str | None:
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class Server:
    """A fresh process of one contender, pinned to one processor. Use it with ``with``."""

    def __init__(self, contender: Contender, cpu: int) -> None:
        self.contender = contender
        self.port = _free_port()
        self._cpu = cpu
        self._directory = Path(tempfile.mkdtemp(prefix="rtmpd-bench-"))
        self._log = self._directory / "server.log"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Server:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            end(process)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self) -> None:
        command = self._nginx_command() if self.contender.program == "nginx" else self._rtmpd_command()
        cpu = self._cpu
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
            )
        self._wait_until_it_listens()

    def _nginx_command(self) -> list[str]:
        os.chmod(self._directory, 0o755)
        config = self._directory / "nginx.conf"
        config.write_text(NGINX_CONFIG.format(module=nginx_module(), directory=self._directory, port=self.port))
        return [_nginx_binary() or "nginx", "-p", str(self._directory), "-c", str(config)]

    def _rtmpd_command(self) -> list[str]:
        config = self._directory / "rtmpd.ini"
        contender = self.contender
        text = RTMPD_CONFIG.format(port=self.port, flush=contender.flush, sections=contender.sections)
        config.write_text(text)
        return [sys.executable, "-m", "rtmpd", "-c", str(config)]

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise ServerFailed(f"{self.contender.name} does not listen on port {self.port}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The end of what the server wrote."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
