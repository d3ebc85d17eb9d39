"""Every fault, and what each instrument says of it: within five seconds, and again when it is over.

A whole house runs here with its control socket, so that ``rtmpctl`` and HTTP are the real ones. The table at the end
has an entry for each kind of fault there is.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest

from rtmpd.ctl import main as front_door
from rtmpd.ctl.client import Client
from rtmpd.errors import ConfigError, Problem, StoreFault, TransientDeliveryError
from rtmpd.hook import manager as manager_module
from rtmpd.hook.record import audit as audit_module
from rtmpd.hook.store.database import Database
from rtmpd.metrics.fault import KINDS
from rtmpd.reload import reload
from rtmpd.settings import (
    Address,
    AlertSettings,
    ApiSettings,
    AppSettings,
    AppsSettings,
    DeliverySettings,
    HooksSettings,
    RetrySettings,
    ServerSettings,
    Settings,
    StoreSettings,
)
from rtmpd.settings.hooks import AuditSettings
from scripts.papers.rules import RULES
from tests.support.child import free_port
from tests.support.client import audio, keyframe
from tests.support.house import Running
from tests.support.waiting import wait_until

WITHIN_S = 5.0
DURABLE = DeliverySettings(guarantee_level="at-least-once")
NAMED_BY_HOOK = {"hook_held_up": "RtmpdHookDown", "hook_behind": "RtmpdHookBehind"}


class Configuration:
    """The files of the daemon, as ``rtmpctl doctor`` asks for them: in order."""

    def test(self) -> dict[str, Any]:
        return {"ok": True, "problems": [], "warnings": []}

    def diff(self) -> dict[str, Any]:
        return {"ok": True, "problems": [], "text": ""}


class Hook:
    """Takes what it is given, or fails, or hangs."""

    type = "test"

    def __init__(self, id: str = "ops") -> None:
        self.id = id
        self.fails = False
        self.go = gevent.event.Event()
        self.go.set()
        self.taken: list[Any] = []

    def execute(self, event: Any, deadline: float) -> None:
        self.go.wait()
        if self.fails:
            raise TransientDeliveryError("server returned status 503", "status:503")
        self.taken.append(event)

    def close(self) -> None:
        pass


class Desk:
    """A house under test and its instruments."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.monkeypatch = monkeypatch
        self._capsys = capsys
        self.house: Running | None = None
        self.hook = Hook()

    def start(self, *, store: dict[str, Any] | None = None, audit: str = "", **app: Any) -> Running:
        """Start the house. Its hook ``ops`` counts on its events."""
        path = str(self.home / "control.sock")
        (self.home / "store").mkdir(exist_ok=True)
        files = StoreSettings(str(self.home / "store" / "events.db"), **(store or {}))
        trail = AuditSettings(file=audit) if audit else AuditSettings()
        settings = Settings(
            server=ServerSettings(listen=(Address("127.0.0.1", 0),)),
            apps=AppsSettings(default=AppSettings(**app)),
            alerts=AlertSettings(interval_s=0.2, hold_s=0.2, cool_down_s=0.0),
            http=ApiSettings(socket=path),
            hooks=HooksSettings(store=files, audit=trail),
        )
        self.house = Running(settings=settings)
        self.house.house.serve_http(Configuration(), None)  # type: ignore[arg-type]  # nobody asks for the rest
        retry = RetrySettings(max_attempts=1000, initial_delay_s=0.05, max_delay_s=0.05)
        self.house.house.hooks.register(self.hook, retry=retry, delivery=DURABLE)
        self.client = Client(path, "", "", 5.0)
        self._path = path
        return self.house

    @property
    def events(self) -> Any:
        assert self.house is not None
        return self.house.house.hooks.events

    def emit(self, count: int = 1, **data: Any) -> None:
        assert self.house is not None
        for number in range(count):
            self.house.house.hooks.emit("stream_not_found", stream_key=f"live/{number}", app="live",
                                        stream_name=f"{number}", waiting=False, **data)  # fmt: skip

    # --- the instruments --------------------------------------------------------------------------

    def said(self, kind: str) -> dict[str, bool]:
        """What each instrument says: whether there is that fault."""
        health = self.client.get("/health", good=(200, 503))
        ready = self.client.get("/readyz", good=(200, 503))
        document = next((fault for fault in health["faults"] if fault["fault"] == kind), None)
        status, _ = self.command("status")
        doctor, _ = self.command("doctor")
        page = self.client.text("/metrics?format=prometheus")
        metric = re.search(rf'^rtmp_faults{{fault="{kind}"}} (\d+)$', page, re.MULTILINE)
        assert metric, page
        said = {
            "health": document is not None and health["status"] == "degraded",
            "status": f" {kind} " in status,
            "doctor": KINDS[kind].meaning in doctor,
            "metric": metric[1] != "0",
            "rule": self.rule_fires(kind, page),
        }
        if KINDS[kind].of_events:
            said["hook_manager_status"] = health["hook_manager_status"] == "degraded"
        if KINDS[kind].unready:
            said["readyz"] = not ready["ready"] and any(KINDS[kind].meaning in why for why in ready["reasons"])
        return said

    def command(self, *words: str) -> tuple[str, int]:
        self._capsys.readouterr()
        status = front_door.main(["--socket", self._path, *words])
        return self._capsys.readouterr().out, status

    def rule_fires(self, kind: str, page: str) -> bool:
        """Whether a shipped rule would, with what is on the page (and if it lasts)."""
        if kind in NAMED_BY_HOOK:
            assert NAMED_BY_HOOK[kind] in {rule.alert for rule in RULES}
            if kind == "hook_held_up":
                return 'rtmp_hook_state{hook_id="ops",state="tripped"} 1' in page
            age = re.search(r'^rtmp_hook_oldest_age_seconds{hook_id="ops"} (\S+)$', page, re.MULTILINE)
            return age is not None and float(age[1]) > manager_module._BEHIND_S
        (rule,) = [rule for rule in RULES if f'rtmp_faults{{fault="{kind}"}}' in rule.expr]
        assert rule.expr == f'rtmp_faults{{fault="{kind}"}} > 0' and rule.severity == KINDS[kind].severity
        return f'rtmp_faults{{fault="{kind}"}} 0' not in page

    def all_say(self, kind: str, is_there: bool) -> None:
        """Wait until every instrument says so."""
        last: dict[str, bool] = {}

        def agree() -> bool:
            last.update(self.said(kind))
            return set(last.values()) == {is_there}

        try:
            wait_until(agree, f"{kind} is {'there' if is_there else 'over'}", WITHIN_S)
        except AssertionError:
            raise AssertionError(f"{kind}, there: {is_there}, but after {WITHIN_S:g} s: {last}") from None


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    monkeypatch.setattr("rtmpd.hook.store.log._RETRY_S", 0.1)
    desk = Desk(tmp_path, capsys, monkeypatch)
    yield desk
    if desk.house is not None:
        desk.hook.go.set()
        desk.house.finish()


# --- the faults: each begins with the context and is over after it --------------------------------


@contextmanager
def a_disk_that_is_full(desk: Desk) -> Iterator[None]:
    """A tmpfs so small that there is no reserve."""
    if os.geteuid():
        pytest.skip("only root can mount a file system")
    folder = desk.home / "store"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        desk.start()
        desk.emit(20)
        ballast = folder / "of somebody else"
        with open(ballast, "wb", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while True:
                        file.write(bytes(size * 256))
                except OSError:
                    pass
        desk.emit(3000)
        waiting = wait_until(lambda: desk.events.fault and queued(desk), "events wait", WITHIN_S)
        assert waiting > 100, "what is staged is queued"
        wait_until(lambda: ("raised", "critical") in alerts(desk), "the alert goes past the store", WITHIN_S)
        yield
        ballast.unlink()
        wait_until(lambda: not desk.events.staged and not queued(desk), "what waited is delivered", 30)
        wait_until(lambda: ("cleared", "critical") in alerts(desk), "the alert is cleared", WITHIN_S)
        assert len([e for e in desk.hook.taken if e.type == "stream_not_found"]) + dropped(desk) == 3020
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def facts(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = desk.client.get("/api/v1/hooks/ops")
    return found


def queued(desk: Desk) -> int:
    return int(facts(desk)["queued"])


def dropped(desk: Desk) -> int:
    return int(facts(desk)["dropped"])


def alerts(desk: Desk) -> list[tuple[object, object]]:
    """Those about the store that the durable hook has got."""
    found = [event for event in desk.hook.taken if event.data.get("metric_type") == "event_store"]
    return [(event.data["state"], event.data["severity"]) for event in found]


@contextmanager
def a_disk_with_errors(desk: Desk) -> Iterator[None]:
    desk.start()
    commit = Database.commit

    def fails(*values: Any) -> None:
        raise StoreFault("disk I/O error")

    desk.monkeypatch.setattr(Database, "commit", fails)
    desk.emit()
    yield
    desk.monkeypatch.setattr(Database, "commit", commit)


@contextmanager
def a_store_that_cannot_be_read(desk: Desk) -> Iterator[None]:
    desk.start()
    page = Database.page
    desk.hook.go.clear()
    desk.emit(300)
    wait_until(lambda: desk.events.committed >= 300, "all are accepted")

    def fails(*values: Any) -> None:
        raise StoreFault("disk I/O error")

    desk.monkeypatch.setattr(Database, "page", fails)
    desk.hook.go.set()
    yield
    desk.monkeypatch.setattr(Database, "page", page)


@contextmanager
def a_store_that_has_its_size(desk: Desk) -> Iterator[None]:
    desk.start(store={"size_bytes": 200_000, "full": "drop_newest"})
    desk.hook.go.clear()
    desk.emit(1000)
    wait_until(lambda: desk.events.committed >= 1000, "all are accepted")
    yield
    desk.hook.go.set()


@contextmanager
def an_endpoint_that_fails(desk: Desk) -> Iterator[None]:
    desk.start()
    desk.hook.fails = True
    desk.emit(50)
    yield
    desk.hook.fails = False


@contextmanager
def an_endpoint_that_hangs(desk: Desk) -> Iterator[None]:
    desk.monkeypatch.setattr(manager_module, "_BEHIND_S", 0.5)
    desk.start()
    desk.hook.go.clear()
    desk.emit(100)
    yield
    desk.hook.go.set()


@contextmanager
def an_audit_trail_that_cannot_be_written(desk: Desk) -> Iterator[None]:
    house = desk.start(audit=str(desk.home / "audit.log"))
    write = audit_module._write_all

    def fails(descriptor: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    desk.monkeypatch.setattr(audit_module, "_write_all", fails)
    house.house.hooks.records.act("pause", hook_id="ops")
    yield
    desk.monkeypatch.setattr(audit_module, "_write_all", write)


@contextmanager
def a_record_dir_that_cannot_be_written(desk: Desk) -> Iterator[None]:
    in_the_way = desk.home / "recordings"
    in_the_way.touch()
    desk.start(record="all", record_dir=str(in_the_way / "live"))
    yield
    in_the_way.unlink()


@contextmanager
def a_recording_without_room(desk: Desk) -> Iterator[None]:
    house = desk.start(record="all", record_dir=str(desk.home), record_min_free_bytes=1 << 60)
    publisher = house.client()
    msid = publisher.publish("cam")
    publisher.headers(msid)
    publisher.video(msid, keyframe(300), 0)
    publisher.audio(msid, audio(), 20)
    yield
    publisher.call("deleteStream", None, float(msid))
    publisher.close()


@contextmanager
def a_relay_to_nobody(desk: Desk) -> Iterator[None]:
    house = desk.start(push=(f"rtmp://127.0.0.1:{free_port()}/live/{{name}}",), push_retry_s=0.2)
    publisher = house.client()
    msid = publisher.publish("cam")
    publisher.headers(msid)
    yield
    publisher.call("deleteStream", None, float(msid))
    publisher.close()


@contextmanager
def a_reload_that_was_rejected(desk: Desk) -> Iterator[None]:
    house = desk.start()

    def bad() -> Any:
        raise ConfigError([Problem("rtmpd.ini:3", "log.level", "loud is not a level")])

    reload(house.house, house.house.settings, bad)
    yield
    house.house.tell_reload(result="applied", changed=[], restart_needed=[], errors=[])


@contextmanager
def no_descriptors(desk: Desk) -> Iterator[None]:
    house = desk.start()
    (listener,) = house.house._server._listeners.values()
    (door,) = listener._doors
    most, door._most = door._most, 0
    raws = []

    def knock() -> None:
        while not door._most:
            raws.append(house.raw())
            gevent.sleep(0.5)

    knocking = gevent.spawn(knock)
    yield
    door._most = most
    knocking.join()
    for raw in raws:
        raw.close()


Happen = Callable[[Desk], AbstractContextManager[None]]

TABLE: list[tuple[str, Happen]] = [
    ("store_not_writable", a_disk_that_is_full),
    ("store_not_writable", a_disk_with_errors),
    ("store_not_readable", a_store_that_cannot_be_read),
    ("store_full", a_store_that_has_its_size),
    ("hook_held_up", an_endpoint_that_fails),
    ("hook_behind", an_endpoint_that_hangs),
    ("record_not_written", an_audit_trail_that_cannot_be_written),
    ("record_dir", a_record_dir_that_cannot_be_written),
    ("recording_failed", a_recording_without_room),
    ("relay_failing", a_relay_to_nobody),
    ("reload_rejected", a_reload_that_was_rejected),
    ("descriptors", no_descriptors),
]


def test_the_table_has_every_fault() -> None:
    assert {kind for kind, _ in TABLE} == set(KINDS)


@pytest.mark.parametrize(("kind", "happens"), TABLE, ids=lambda one: getattr(one, "__name__", one))
def test_every_instrument_says_it_within_five_seconds_and_says_when_it_is_over(
    desk: Desk, kind: str, happens: Happen
) -> None:
    with happens(desk):
        desk.all_say(kind, True)
    desk.all_say(kind, False)


def test_a_house_in_order_has_no_fault(desk: Desk) -> None:
    desk.start()
    desk.emit()
    for kind in KINDS:
        assert set(desk.said(kind).values()) == {False}, kind
    assert desk.command("health")[1] == 0
