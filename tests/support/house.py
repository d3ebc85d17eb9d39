"""A whole rtmpd inside the test's process, its events and log recorded, its leftovers counted."""

from __future__ import annotations

import gc
import json
import logging
import os
from collections import Counter
from dataclasses import replace
from typing import Any

from gevent import Greenlet

from rtmpd.assembly import House
from rtmpd.event.event import Event
from rtmpd.server.connection import Connection
from rtmpd.settings import (
    AccessSettings,
    Address,
    AlertSettings,
    ApiSettings,
    AppSettings,
    AppsSettings,
    LimitSettings,
    MetricsSettings,
    PlaybackSettings,
    ServerSettings,
    Settings,
)
from tests import contract
from tests.support import ledger
from tests.support.client import Client, Raw, audio, keyframe
from tests.support.waiting import wait_until

WATCH_PERIOD_S = 0.02


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def greenlets() -> Counter[str]:
    """The greenlets that are alive, by name."""
    alive = [o for o in gc.get_objects() if isinstance(o, Greenlet) and not o.dead]
    return Counter(greenlet.name for greenlet in alive)


def resident_bytes() -> int:
    """What this process holds in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Recorder:
    """The hook that keeps what it is given."""

    id = "recorder"
    type = "test"

    def __init__(self) -> None:
        self.events: list[Event] = []

    def execute(self, event: Event, deadline: float) -> None:
        self.events.append(event)

    def close(self) -> None:
        pass


class LogKeeper(logging.Handler):
    """Keeps every record of the server."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Running:
    """A started house. ``limits``, ``app`` (the defaults of every application), ``named`` and
    ``server`` override the settings, or ``settings`` are all of them; ``client`` and ``raw`` make
    clients that ``finish`` closes."""

    def __init__(
        self,
        *,
        limits: dict[str, Any] | None = None,
        app: dict[str, Any] | None = None,
        apps: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
        access: dict[str, Any] | None = None,
        metrics: dict[str, Any] | None = None,
        alerts: dict[str, Any] | None = None,
        listen: tuple[Address, ...] = (Address("127.0.0.1", 0),),
        http: dict[str, Any] | None = None,
        playback: dict[str, Any] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._baseline = descriptors(), greenlets()
        self._clients: list[Client | Raw] = []
        self._recorder = Recorder()
        self._log = LogKeeper()
        logger = logging.getLogger("rtmpd")
        self._log_level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self._log)
        settings = settings or Settings(
            server=ServerSettings(listen=listen, **(server or {})),
            limits=LimitSettings(**(limits or {})),
            apps=AppsSettings(default=AppSettings(**(app or {})), **(apps or {})),
            metrics=MetricsSettings(**(metrics or {})),
            alerts=AlertSettings(**({"enabled": False} if alerts is None else alerts)),
            access=AccessSettings(**(access or {})),
            http=ApiSettings(**({"socket": ""} | (http or {}))),
            playback=PlaybackSettings(**(playback or {})),
        )
        self.house = House(settings)
        self.house.context.watch_period_s = WATCH_PERIOD_S
        self.house.hooks.register(self._recorder, queue_events=1_000_000, concurrency=1)
        self.addresses = self.house.start()
        self.address = self.addresses[0]
        self.expected_tracebacks = 0

    def change(self, **slices: Any) -> None:
        """Have these slices of the settings instead, as a reload does."""
        change = self.house.prepare(replace(self.house.settings, **slices))
        change.commit()
        change.retire()

    # --- clients --------------------------------------------------------------------------------

    def client(self, address: Address | None = None, **options: Any) -> Client:
        """A client past the handshake."""
        client = Client(address or self.address, **options)
        self._clients.append(client)
        return client

    def raw(self, address: Address | None = None, **options: Any) -> Raw:
        """A client that has only a TCP connection."""
        raw = Raw(address or self.address, **options)
        self._clients.append(raw)
        return raw

    def connection(self, client: Client | Raw) -> Connection:
        """The server's side of a client."""

        def find() -> list[Connection]:
            return [c for c in self.house.context.connections.values() if c.port == client.port]

        return wait_until(find, "the connection of a client")[0]

    # --- what was told --------------------------------------------------------------------------

    def drained(self) -> bool:
        """Whether every event emitted up to now has reached the recorder."""
        hooks = self.house.hooks.stats()["hooks"]
        assert isinstance(hooks, dict)
        lane = hooks["recorder"]
        assert not lane["dropped"] and not lane["failed"]
        return lane["queued"] == 0 and lane["active"] == 0

    @property
    def events(self) -> list[Event]:
        """All events up to now, in order."""
        wait_until(self.drained, "the recorder has every event")
        return list(self._recorder.events)

    def of(self, type_: str, **match: object) -> list[Event]:
        """The events of one type whose envelope or data has all of ``match``."""
        return [
            event
            for event in self.events
            if event.type == type_
            and all(event.data.get(k, getattr(event, k, None)) == value for k, value in match.items())
        ]

    def wait_event(self, type_: str, **match: object) -> Event:
        """Wait for such an event."""
        return wait_until(lambda: self.of(type_, **match), f"{type_} with {match}; there is {self.told()}")[-1]

    def told(self) -> list[str]:
        """The events in short, for messages and comparisons."""
        return [str(event) for event in self._recorder.events]

    def errors(self) -> list[Event]:
        """Everything that tells of something wrong."""
        return [e for e in self.events if e.type in ("connection_error", "protocol_error", "stream_error")]

    def types(self, conn_id: str) -> list[str]:
        """The types of one connection's events, in order."""
        return [event.type for event in self.events if event.conn_id == conn_id]

    def logged(self, message: str, **fields: object) -> list[dict[str, Any]]:
        """The fields of the log records with this message whose fields have all of ``fields``."""
        found = [r.__dict__.get("fields", {}) for r in self._log.records if r.getMessage() == message]
        return [f for f in found if all(f.get(key) == value for key, value in fields.items())]

    def the_error(self, type_: str, error_type: str, code: str, phase: str) -> Event:
        """Wait for the one error there must be, and check it and its log line."""
        event = wait_until(self.errors, f"an error; there is {self.told()}")[0]
        wait_until(lambda: event.type != "connection_error" or not self.alive(event.conn_id), "its connection ends")
        assert [(e.type, e.data.get("error_code"), e.data.get("error_message")) for e in self.errors()] == [
            (event.type, event.data.get("error_code"), event.data.get("error_message"))
        ]
        assert (event.type, event.data["error_type"], event.data["error_code"], event.data["phase"]) == (
            type_,
            error_type,
            code,
            phase,
        ), event.data
        line = {"connection_error": "connection failed", "protocol_error": "protocol violation tolerated"}[type_]
        assert len(self.logged(line, conn_id=event.conn_id, code=code)) == 1
        return event

    def alive(self, conn_id: str) -> bool:
        """Whether the server has this connection."""
        return conn_id in self.house.context.connections

    # --- the end --------------------------------------------------------------------------------

    def empty(self) -> bool:
        """Whether nobody is here and no stream exists."""
        return not self.house.context.connections and not len(self.house.registry)

    def close_clients(self) -> None:
        """Have every client leave, and wait until the server is as empty as it was."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        for viewer in list(self.house.context.viewers.values()):
            viewer.end("kicked")
        wait_until(self.empty, "no connection and no stream is left")

    def check_service(self) -> None:
        """The next publish and play work."""
        publisher, player = self.client(), self.client()
        msid = publisher.publish("check")
        publisher.headers(msid)
        publisher.video(msid, keyframe(3000), 40)
        publisher.audio(msid, audio(), 40)
        player.play("check")
        player.wait_payload(keyframe(3000))
        publisher.call("deleteStream", None, float(msid))
        player.wait_code("NetStream.Play.UnpublishNotify")
        publisher.close()
        player.close()

    def finish(self) -> None:
        """Stop, and check that nothing is left over and that the events balance."""
        try:
            self.close_clients()
            assert not self.house.context._per_address
            assert not len(self.house.context.quota) and not self.house.registry._reserved
        finally:
            self.house.stop(1.0)
            logger = logging.getLogger("rtmpd")
            logger.removeHandler(self._log)
            logger.setLevel(self._log_level)
        told = [json.loads(event.json()) for event in self._recorder.events]
        faults = ledger.faults(told) + contract.faults(told)
        assert not faults, "\n".join(faults)
        tracebacks = [record for record in self._log.records if record.exc_info]
        assert len(tracebacks) == self.expected_tracebacks, [str(record.exc_info) for record in tracebacks]
        self._check_leftovers()

    def _check_leftovers(self) -> None:
        files, alive = self._baseline
        self._clients.clear()

        def back() -> bool:
            return descriptors() <= files and not greenlets() - alive

        try:
            wait_until(back, "descriptors and greenlets are back", 3.0)
        except AssertionError:
            raise AssertionError(f"left over: {descriptors() - files} descriptors, {greenlets() - alive}") from None
