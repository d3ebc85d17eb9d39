"""nginx-rtmp in the daemon's place: the control that proves the harness and shows what a peer does by itself.

``RTMPD_TEST_CONTROL=nginx pytest tests/functional/test_interop.py`` runs the same matrix against it.
"""

from __future__ import annotations

import http.server
import os
import threading
import urllib.parse
from pathlib import Path

from tests.functional.harness import Daemon
from tests.support.child import Child, free_port, is_listening
from tests.support.waiting import wait_until

CONF = """\
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; master_process off; worker_processes 1;
pid {home}/nginx.pid; error_log {home}/error.log info;
events {{ worker_connections 1024; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        chunk_size 4096;
        application live {{
            live on; publish_notify on; wait_key off; sync 0; interleave off;
            notify_method get;
            on_play http://127.0.0.1:{notify}/play_start;
            on_publish http://127.0.0.1:{notify}/publish_start;
            on_play_done http://127.0.0.1:{notify}/play_stop;
            on_publish_done http://127.0.0.1:{notify}/publish_stop;
        }}
    }}
}}
"""


class NginxRtmp:
    """The part of ``Daemon`` that the matrix uses."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.events: list[dict[str, object]] = []

    def __enter__(self) -> NginxRtmp:
        events = self.events

        class Notify(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(parts.query))
                events.append({"type": parts.path[1:], "stream_key": f"{query['app']}/{query['name']}", "data": query})
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        self.notify = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Notify)
        threading.Thread(target=self.notify.serve_forever, daemon=True).start()
        conf = self.home / "nginx.conf"
        conf.write_text(CONF.format(home=self.home, port=self.port, notify=self.notify.server_address[1]))
        self.child = Child(["/usr/sbin/nginx", "-p", str(self.home), "-c", str(conf)], self.home / "nginx.log")
        wait_until(lambda: is_listening(self.port), "nginx listens")
        return self

    def __exit__(self, *_: object) -> None:
        self.child.close()
        self.notify.shutdown()
        self.notify.server_close()

    def url(self, key: str) -> str:
        return f"rtmp://127.0.0.1:{self.port}/{key}"

    def of(self, type_: str, key: str | None = None) -> list[dict[str, object]]:
        return [event for event in self.events if event["type"] == type_ and key in (None, event["stream_key"])]

    def wait_count(self, type_: str, key: str, count: int, timeout_s: float = 15.0) -> None:
        """Wait for ``count`` events of one type and stream."""
        wait_until(lambda: len(self.of(type_, key)) >= count, f"{count} {type_} of {key}", timeout_s)


def server_under_test(home: Path) -> Daemon | NginxRtmp:
    """rtmpd, or the control if ``RTMPD_TEST_CONTROL`` says so."""
    return NginxRtmp(home) if os.environ.get("RTMPD_TEST_CONTROL") == "nginx" else Daemon(home)
