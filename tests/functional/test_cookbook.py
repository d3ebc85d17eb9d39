"""Every recipe of docs/cookbook.md, run: what the page says happens."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.functional import peers
from tests.functional.clips import Maker
from tests.functional.harness import Daemon
from tests.functional.receiver import Receiver
from tests.support.child import REPOSITORY, Child, free_port, is_listening
from tests.support.waiting import wait_until

PAGE = (REPOSITORY / "docs" / "cookbook.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"(?ms)^## (\d+\. .*?)\n(.*?)(?=^## |\Z)", PAGE))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PLACES = ("/usr/local/lib/rtmpd", "/var/lib/rtmpd")


@dataclass
class Recipe:
    """The files of one recipe in a directory of the test; ports are mapped to free ones."""

    home: Path
    files: dict[str, str]
    ports: dict[str, int]

    @property
    def ini(self) -> str:
        return self.files["rtmpd.ini"] + f"\n[http]\nsocket = {self.home}/control.sock\n"

    def daemon(self, **env: str) -> Daemon:
        return Daemon(self.home, ini=self.ini, env=env)

    def program(self, name: str, **env: str) -> Child:
        """A receiver of the recipe; returns when it listens."""
        child = Child(
            [sys.executable, str(self.home / name)],
            self.home / f"{name}.err",
            self.home / f"{name}.out",
            {**env, "PYTHONPATH": str(REPOSITORY)},
        )
        wait_until(lambda: is_listening(self.ports["9000"]), f"{name} listens", 20.0)
        return child

    def printed(self, name: str) -> list[str]:
        return (self.home / f"{name}.out").read_text().splitlines()

    def receiver(self, status: int = 200, port: str = "9000") -> Receiver:
        return Receiver(status, port=self.ports[port])

    def ctl(self, *words: str) -> str:
        command = [sys.executable, "-m", "rtmpd.ctl.main", "--socket", str(self.home / "control.sock"), *words]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=30).stdout


Cook = Callable[[str], Recipe]
Publish = Callable[..., None]


@pytest.fixture
def cook(tmp_path: Path) -> Cook:
    def prepare(number: str) -> Recipe:
        (text,) = [text for title, text in RECIPES.items() if title.startswith(f"{number}. ")]
        ports = {port: free_port() for port in ("9000", "9001", "8125")}
        files = dict(re.findall(r"(?ms)^```\w+ (\S+)\n(.*?)^```$", text))
        for name in files:
            for place in PLACES:
                files[name] = files[name].replace(place, str(tmp_path))
            for port, free in ports.items():
                files[name] = re.sub(rf"(127\.0\.0\.1(?::|\", )){port}", rf"\g<1>{free}", files[name])
            (tmp_path / name).write_text(files[name])
            if name.endswith((".py", ".sh")):
                (tmp_path / name).chmod(0o755)
        return Recipe(tmp_path, files, ports)

    return prepare


@pytest.fixture
def publish(clip: Maker, tmp_path: Path) -> Publish:
    """``publish(daemon, key)``: a short stream, as fast as it goes, from start to end."""

    def at_once(daemon: Daemon, key: str = "live/a") -> None:
        peers.ffmpeg().publish_at_once(clip("h264_aac", 0.4), daemon.url(key), tmp_path / "publisher.log")

    return at_once


def bodies(receiver: Receiver, path: str = "") -> list[dict[str, object]]:
    return [json.loads(post.body) for post in receiver.posts if post.path.startswith(path)]


def types(receiver: Receiver, path: str = "") -> list[object]:
    return [body["type"] for body in bodies(receiver, path)]


def test_every_recipe_is_run_by_a_test() -> None:
    numbers = [title.partition(".")[0] for title in RECIPES]
    assert numbers == [str(number) for number in range(1, len(RECIPES) + 1)] and len(numbers) >= 10
    source = Path(__file__).read_text(encoding="utf-8")
    assert [number for number in numbers if f'cook("{number}")' not in source] == []


def test_a_signed_webhook_and_its_receiver(cook: Cook, publish: Publish) -> None:
    recipe = cook("1")
    with recipe.program("receiver.py", WEBHOOK_SECRET=SECRET), recipe.daemon(WEBHOOK_SECRET=SECRET) as daemon:
        publish(daemon)
        wait_until(lambda: len(recipe.printed("receiver.py")) == 2, "both events")
        request = urllib.request.Request(f"http://127.0.0.1:{recipe.ports['9000']}/events", b'{"type":"forged"}')
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request, timeout=5)
    assert recipe.printed("receiver.py") == ["publish_start live/a", "publish_stop live/a"]


def test_a_line_in_a_chat(cook: Cook, publish: Publish) -> None:
    recipe = cook("2")
    with recipe.receiver() as chat, recipe.daemon(CHAT_URL=chat.url("/hook")) as daemon:
        publish(daemon)
        wait_until(lambda: len(chat.posts) == 2, "both lines")
        start, stop = bodies(chat)
    assert start == {"text": "*live/a*: publish_start "}
    assert str(stop["text"]).startswith("*live/a*: publish_stop ")


def test_a_script_when_a_stream_ends(cook: Cook, publish: Publish) -> None:
    recipe = cook("3")
    book = recipe.home / "log-book.csv"
    with recipe.daemon() as daemon:
        publish(daemon)
        wait_until(lambda: book.exists() and book.read_text().endswith("\n"), "the line")
    assert re.fullmatch(r'\d+,"live/a",[\d.]+,\d+\n', book.read_text())


def test_a_worker_in_python(cook: Cook, publish: Publish, clip: Maker) -> None:
    recipe = cook("4")
    with recipe.daemon() as daemon:

        def live() -> list[str]:
            if not (recipe.home / "live.db").exists():
                return []
            with sqlite3.connect(recipe.home / "live.db") as table:
                return [row[0] for row in table.execute("SELECT stream FROM live")]

        publisher = peers.ffmpeg().publish(clip("h264_aac", 0.4), daemon.url("live/a"), recipe.home / "publisher.log")
        with publisher:
            daemon.wait_count("publish_start", "live/a", 1)
        publish(daemon, "live/b")
        daemon.wait_count("publish_stop", "live/b", 1)
        wait_until(lambda: (recipe.home / "live.db").exists() and live() == [], "nobody is live")
    assert "Traceback" not in daemon.log() and "dead" not in daemon.log()


def test_billing_that_loses_nothing(cook: Cook, publish: Publish) -> None:
    recipe = cook("5")
    with recipe.daemon() as daemon:
        publish(daemon)
        daemon.wait_count("publish_stop", "live/a", 1)
        daemon.wait_log(lambda log: "billing" in log, "the endpoint is not there")
    with recipe.receiver() as billing, recipe.daemon():
        wait_until(lambda: len(billing.posts) >= 2, "what was not delivered", 20.0)
    assert types(billing)[:2] == ["publish_start", "publish_stop"]
    assert len({body["id"] for body in bodies(billing)}) == 2


def test_only_what_matters(cook: Cook, publish: Publish) -> None:
    recipe = cook("6")
    with recipe.receiver() as receiver, recipe.daemon() as daemon:
        publish(daemon, "live/a")
        publish(daemon, "vip/b")
        wait_until(lambda: "publish_stop" in types(receiver, "/premium"), "the end of vip/b")
    assert {body["stream_key"] for body in bodies(receiver, "/premium")} == {"vip/b"}
    assert types(receiver, "/premium") == ["publish_start", "publish_stop"]
    assert types(receiver, "/long") == []
    assert not {"publish_start", "publish_stop"} & set(types(receiver, "/trouble"))


def test_page_somebody(cook: Cook) -> None:
    recipe = cook("7")
    with recipe.receiver() as pager, recipe.daemon(PAGER_URL=pager.url("/v2/enqueue")):
        recipe.ctl("hooks", "test", "pager", "--event", "resource_alert")
        recipe.ctl("hooks", "test", "pager-resolve", "--event", "resource_alert")
        page, end = bodies(pager)
    assert (page["event_action"], end["event_action"]) == ("trigger", "resolve")
    assert page["dedup_key"] == end["dedup_key"]
    assert page["payload"]["custom_details"]["state"] == "raised"  # type: ignore[index]
    assert {"summary", "source", "severity", "timestamp", "custom_details"} == set(page["payload"])  # type: ignore[call-overload]


def test_publish_with_a_token_only(cook: Cook, publish: Publish) -> None:
    recipe = cook("8")
    token = "0123456789abcdef0123456789abcdef"
    with recipe.receiver() as receiver, recipe.daemon(STUDIO_TOKEN=token) as daemon:
        with pytest.raises(AssertionError):
            publish(daemon, "live/a?token=wrong")
        wait_until(lambda: types(receiver) == ["auth_failed"], "the refusal")
        publish(daemon, f"live/a?token={token}")
        assert daemon.wait_event("publish_start", identity="studio")


def test_cloud_events(cook: Cook, publish: Publish) -> None:
    recipe = cook("9")
    with recipe.program("receiver.py"), recipe.daemon() as daemon:
        publish(daemon)
        wait_until(lambda: len(recipe.printed("receiver.py")) == 2, "both events")
    assert recipe.printed("receiver.py")[0] == "rtmpd.publish_start /rtmpd/ingest-1 live/a app"


def test_what_nobody_took_goes_to_a_backup(cook: Cook, publish: Publish) -> None:
    recipe = cook("10")
    with recipe.receiver(503) as office, recipe.receiver(port="9001") as backup, recipe.daemon() as daemon:
        publish(daemon)
        wait_until(lambda: backup.posts, "the dead letter", 20.0)
    (letter,) = bodies(backup)
    assert (letter["hook_id"], letter["attempts"], len(office.posts)) == ("office", 3, 3)
    assert "503" in str(letter["last_error"])


def test_numbers_for_graphite(cook: Cook, publish: Publish) -> None:
    recipe = cook("11")
    recipe.files["rtmpd.ini"] = recipe.files["rtmpd.ini"].replace("= 10s", "= 200ms")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", recipe.ports["8125"]))
        statsd.settimeout(10)
        with recipe.daemon() as daemon:
            publish(daemon)
            assert statsd.recv(65536).startswith(b"rtmpd.media1.")


def test_replay_what_an_outage_swallowed(cook: Cook, publish: Publish) -> None:
    recipe = cook("12")
    with recipe.receiver() as office, recipe.daemon() as daemon:
        publish(daemon)
        wait_until(lambda: len(office.posts) == 2, "both events")
        recipe.ctl("replay", "office", "--since", "2h")
        wait_until(lambda: len(office.posts) == 4, "both again")
    assert types(office) == ["publish_start", "publish_stop"] * 2
    assert [post.headers.get("x-rtmp-redelivered") for post in office.posts] == [None, None, "replay", "replay"]
    ids = [post.headers["x-rtmp-event-id"] for post in office.posts]
    assert ids[:2] == ids[2:]


def test_commands_of_the_page_are_understood() -> None:
    from rtmpd.ctl.parser import parser

    lines = [line.partition("#")[0] for line in PAGE.splitlines() if line.startswith("    rtmpctl ")]
    assert len(lines) >= 2 and all(parser().parse_args(line.split()[1:]) for line in lines)
    assert os.path.exists(REPOSITORY / "etc" / "graphite" / "dashboard.json")
