"""SIGHUP, rtmpctl and a changed file reload the real daemon, all in the same way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtmpd.settings import Address
from tests.functional.harness import wait_until
from tests.functional.test_control import Controlled
from tests.support.client import AVC_HEADER, Client, keyframe


class Reloaded(Controlled):
    """A daemon whose configuration is written anew."""

    def write(self, *lines: str, watch: str = "0") -> None:
        """The file, with ``lines`` behind what is always there."""
        head = ["[http]", f"socket = {self.socket}", "[server]", f"watch_config = {watch}"]
        self.ini.write_text("\n".join([*head, *lines]) + "\n")

    def reloads(self, count: int) -> list[dict[str, Any]]:
        """What was told of them, when there are so many."""
        return [event["data"] for event in self.wait_count("config_reload", None, count)]

    def is_applied(self, count: int) -> bool:
        """Whether so many were applied. A file that is written can be seen twice, while it is empty and afterwards."""
        return sum(told["result"] == "applied" for told in self.reloads(1)) >= count


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Reloaded]:
    with Reloaded(tmp_path) as running:
        yield running


def test_all_ways_to_reload_are_one(daemon: Reloaded) -> None:
    client = Client(Address("127.0.0.1", daemon.port))
    msid = client.publish("steady")
    client.video(msid, AVC_HEADER)

    daemon.write("[limits]", "connections = 77")
    daemon.child.signal(signal.SIGHUP)
    assert daemon.reloads(1)[-1] == {
        "result": "applied", "changed": ["server", "limits"], "restart_needed": [], "errors": []
    }  # fmt: skip

    daemon.write("[limits]", "connections = 78", "[debug]", "report_blocking = 1s", watch="50ms")
    status, said = daemon.run("reload")
    assert status == 0, said
    assert daemon.reloads(2)[-1]["restart_needed"] == ["debug.report_blocking"]

    daemon.write("[limits]", "connections = 79", watch="50ms")
    assert daemon.reloads(3)[-1]["changed"] == ["limits"]

    daemon.write("[limits]", "connections = some", watch="50ms")
    told = daemon.reloads(4)[-1]
    assert (told["result"], told["changed"]) == ("rejected", [])
    assert told["errors"][0].startswith(f"{daemon.ini}:6: limits.connections: ")
    status, said = daemon.run("reload")
    assert status != 0 and f"{daemon.ini}:6: limits.connections: " in said
    daemon.child.signal(signal.SIGHUP)
    assert [told["result"] for told in daemon.reloads(6)] == ["applied"] * 3 + ["rejected"] * 3

    client.video(msid, keyframe(), 40)
    assert client.create_stream() and not daemon.of("publish_stop")
    client.close()
    daemon.wait_event("publish_stop")


def test_a_file_that_was_emptied_is_not_applied_by_itself(daemon: Reloaded) -> None:
    daemon.write("[hooks]", "[[a]]", "type = script", "path = /bin/true", "event_types = play_stop", watch="50ms")
    assert daemon.run("reload")[0] == 0
    daemon.ini.write_text("# nothing is left\n")
    told = daemon.reloads(2)[-1]
    assert (told["result"], told["changed"]) == ("rejected", [])
    assert told["errors"][0].startswith("no section is left in the changed configuration; if that is meant, run")
    daemon.child.signal(signal.SIGHUP)
    wait_until(lambda: daemon.is_applied(2), "whoever asks for it gets it")
