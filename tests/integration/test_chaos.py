"""Clients that do whatever they like, at random: the events balance and nothing is left, whatever happened."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import gevent
import pytest

from rtmpd.errors import ConnectionLost
from rtmpd.event.event import Event
from rtmpd.event.pairing import STOP_TYPES, begins, ends
from rtmpd.protocol import constants
from rtmpd.protocol.control import user_control
from rtmpd.protocol.message import Message
from tests.integration.conftest import Start
from tests.support.client import Client, audio, interframe, keyframe
from tests.support.house import Running

CLIENTS = 24
STEPS = 60
KEYS = ("a", "b", "c")


def read_to_end(client: Client) -> None:
    try:
        while True:
            client._pull()
    except ConnectionLost:
        pass  # whichever end did it


class Monkey:
    """One client that takes random steps; its choices come from ``seed`` alone.

    What it is sent must always make sense: an error of the chunk stream on our side fails the test.
    """

    def __init__(self, house: Running, seed: int) -> None:
        self.house = house
        self.random = random.Random(seed)
        self.client: Client | None = None
        self.reader: gevent.Greenlet[..., None] | None = None
        self.steps: list[Callable[[Client], None]] = [
            self.create, self.publish, self.play, self.media, self.media, self.media,
            self.pause, self.receive, self.stop, self.noise, self.ping, self.leave, self.reset, self.close_half,
        ]  # fmt: skip

    def run(self) -> None:
        for _ in range(STEPS):
            if self.client is None:
                self.client = self.house.client(receive_bytes=self.random.choice((0, 0, 4096)))
                self.client.call("connect", {"app": "live"})
                self.reader = gevent.spawn(read_to_end, self.client) if self.random.random() < 0.8 else None
            self.random.choice(self.steps)(self.client)
            if self.client is not None and self.reader is not None and self.reader.ready():
                self.leave(self.client)  # the server has ended it
            gevent.sleep(self.random.choice((0, 0, 0.001)))
        if self.client is not None:
            self.leave(self.client)

    def msid(self) -> int:
        return self.random.choice((1, 1, 1, 2, 3))

    def create(self, client: Client) -> None:
        client.call("createStream", None)

    def publish(self, client: Client) -> None:
        client.call("createStream", None)
        client.call("publish", None, self.random.choice(KEYS), "live", msid=self.msid())

    def play(self, client: Client) -> None:
        client.call("createStream", None)
        client.call("play", None, self.random.choice(KEYS), msid=self.msid())

    def media(self, client: Client) -> None:
        make = self.random.choice((keyframe, interframe, audio))
        message = Message(8 if make is audio else 9, make(self.random.choice((0, 50, 20_000))), 0, self.msid())
        client.send(message, 6 if make is audio else 7)

    def pause(self, client: Client) -> None:
        client.call("pause", None, self.random.random() < 0.5, 0.0, msid=self.msid())

    def receive(self, client: Client) -> None:
        name = self.random.choice(("receiveAudio", "receiveVideo"))
        client.call(name, None, self.random.random() < 0.5, msid=self.msid())

    def stop(self, client: Client) -> None:
        if self.random.random() < 0.5:
            client.call("closeStream", None, msid=self.msid())
        else:
            client.call("deleteStream", None, float(self.msid()))

    def noise(self, client: Client) -> None:
        if self.random.random() < 0.2:
            client.raw(self.random.randbytes(self.random.choice((1, 20, 3000))))

    def ping(self, client: Client) -> None:
        client.send(user_control(constants.PING_REQUEST, 1), 2)

    def leave(self, client: Client) -> None:
        self.read_no_more()
        client.close()

    def reset(self, client: Client) -> None:
        self.read_no_more()
        client.reset()

    def read_no_more(self) -> None:
        if self.reader is not None:
            self.reader.kill()
            self.reader.get()
        self.client = None

    def close_half(self, client: Client) -> None:
        client.transport.shutdown_writing()


def assert_every_beginning_has_its_one_end(events: list[Event]) -> None:
    """By the table that finds what a crash has cut short. Only the server goes on."""
    parts = [(event.type, event.conn_id, event.stream_key, event.data) for event in events]
    begun = Counter(key for part in parts if (key := begins(*part)))
    ended = Counter(key for part in parts if (key := ends(*part)))
    assert [key.partition(" ")[0] for key in (begun - ended).elements()] == ["server_start"]
    assert not ended - begun
    once = {key: count for key, count in begun.items() if not key.startswith("stream_create")}
    assert set(once.values()) == {1}
    assert all(event.data["reason"] for event in events if event.type in STOP_TYPES - {"stream_delete"})


@pytest.mark.parametrize("park", [True, False], ids=["parked", "unparked"])
@pytest.mark.parametrize("policy", ["reject", "replace"])
@pytest.mark.parametrize("flush", ["audio-waits", "adaptive"])
def test_whatever_clients_do_the_events_balance_and_nothing_is_left(
    start: Start, park: bool, policy: str, flush: str
) -> None:
    house = start(
        server={"park_idle_players": park},
        app={
            "publish_conflict": policy, "flush": flush, "publisher_grace_s": 0.02, "backlog_bytes": 60_000,
            "stalled_after_s": 0.05, "send_timeout_s": 0.2,
        },
        limits={"ping_interval_s": 0.05, "ping_timeout_s": 0.2, "first_media_timeout_s": 0.3},
    )  # fmt: skip
    house.check_service()
    monkeys = [gevent.spawn(Monkey(house, seed).run) for seed in range(CLIENTS)]
    gevent.joinall(monkeys, timeout=30, raise_error=True)
    assert all(monkey.ready() for monkey in monkeys)
    house.close_clients()
    assert house.of("publish_start")
    assert house.of("play_start")
    assert_every_beginning_has_its_one_end(house.events)
    house.check_service()
