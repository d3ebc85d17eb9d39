"""Endpoints that fail in every way there is, before hooks that may count on their events; the auditor judges."""

from __future__ import annotations

import socket

import pytest

from rtmpd.clock import Clock
from rtmpd.hook.manager import HookManager
from rtmpd.net import outgoing
from rtmpd.settings import HooksSettings, StoreSettings
from tests.support.waiting import until

from .auditor import audit
from .inproc import ends, is_drained, noting_accepted, publish
from .ledger import DELIVERED, lines_of
from .producer import webhook
from .receiver import RETRY_AFTER
from .rig import receiving


@pytest.fixture(scope="module")
def sink(tmp_path_factory):
    with receiving(tmp_path_factory.mktemp("sink")) as sink:
        yield sink


class Sending:
    """One webhook with the id of a test, and what it sends."""

    def __init__(self, sink, folder, name, **settings):
        self.sink = sink
        self.name = name
        self.accepted = []
        self.store = StoreSettings(str(folder / "events.db"))
        self.settings = {"timeout_s": 0.3, "concurrency": 4, **settings}
        self.manager = HookManager(self._hooks(sink.url), Clock())

    def _hooks(self, url):
        return HooksSettings((webhook(self.name, url, **self.settings),), store=self.store)

    def moves_to(self, url):
        self.manager.replace(self._hooks(url))

    @property
    def state(self):
        return self.manager.lanes[self.name].state

    def judge(self):
        until(lambda: is_drained(self.manager))
        received = [line for line in lines_of(self.sink.folder / DELIVERED) if line["hook"] == self.name]
        return audit(self.accepted, received, ends(self.manager)), received


@pytest.fixture
def sending(sink, tmp_path):
    opened = []

    def make(name, **settings):
        opened.append(Sending(sink, tmp_path, name, **settings))
        return opened[-1]

    yield make
    for each in opened:
        each.manager.close(0)


WAITED_FOR = ["500", "503", "408", "425", "429", "401", "403", "hang", "drip", "reset", "shut",
              "garbage", "long-head", *(f"429-{name}" for name in RETRY_AFTER)]
DELIVERED_ANYWAY = ["200-reset", "endless", "reset-in-body"]
EVENT_IS_DEAD = ["301", "400", "404", "413"]


@pytest.mark.parametrize("trouble", [*WAITED_FOR, *DELIVERED_ANYWAY])
def test_what_troubles_the_endpoint_is_waited_for(trouble, sink, sending):
    name = f"w-{trouble}"
    sink.mode(name, trouble, count=3)
    run = sending(name)
    with noting_accepted(run.accepted):
        publish(run.manager, 0, 20)
        until(lambda: len(run.accepted) == 20)
    verdict, received = run.judge()
    assert verdict.is_good and verdict.taken == 20, verdict
    troubled = [line for line in received if not 200 <= line["status"] < 300]
    assert len(troubled) == (0 if trouble in DELIVERED_ANYWAY else 3)


@pytest.mark.parametrize("trouble", EVENT_IS_DEAD)
def test_what_the_endpoint_refuses_is_dead_and_nothing_else(trouble, sink, sending):
    name = f"d-{trouble}"
    sink.mode(name, trouble, count=3)
    run = sending(name)
    with noting_accepted(run.accepted):
        publish(run.manager, 0, 20)
        until(lambda: len(run.accepted) == 20)
    verdict, _ = run.judge()
    assert verdict.is_good and (verdict.taken, verdict.dead) == (17, 3), verdict


def test_an_endpoint_that_is_gone_gets_its_events_when_it_is_resumed(sink, sending):
    sink.mode("gone", "410")
    run = sending("gone")
    with noting_accepted(run.accepted):
        publish(run.manager, 0, 20)
        until(lambda: len(run.accepted) == 20 and run.state == "disabled" and not run.manager.lanes["gone"].active)
        sink.mode("gone", "ok")
        run.manager.lanes["gone"].resume()
        publish(run.manager, 20, 5)
        until(lambda: len(run.accepted) == 25)
    verdict, _ = run.judge()
    assert verdict.is_good and verdict.taken == 25, verdict


def test_an_endpoint_where_nobody_listens_gets_its_events_where_it_moves_to(sink, sending):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        run = sending("refuse")
        run.moves_to(f"http://127.0.0.1:{reserved.getsockname()[1]}")
        with noting_accepted(run.accepted):
            publish(run.manager, 0, 20)
            until(lambda: len(run.accepted) == 20 and run.manager.lanes["refuse"].retried > 2)
        run.moves_to(sink.url)
        verdict, _ = run.judge()
    assert verdict.is_good and verdict.taken == 20, verdict


def test_a_name_that_comes_to_mean_a_forbidden_address_is_waited_for(sink, sending, monkeypatch):
    answers = ["127.0.0.1", "169.254.169.254", "169.254.169.254"]
    asked = []

    def look_up(name):
        asked.append(answers.pop(0) if answers else "127.0.0.1")
        return outgoing.literal(asked[-1])

    monkeypatch.setattr(outgoing, "look_up", look_up)
    monkeypatch.setattr(outgoing, "FRESH_S", 0.0)  # each connection asks
    monkeypatch.setattr(outgoing, "STALE_S", 0.0)
    sink.mode("rebind", "200-reset")
    run = sending("rebind", concurrency=1)
    run.moves_to(sink.url.replace("127.0.0.1", "rebinds.test"))
    with noting_accepted(run.accepted):
        publish(run.manager, 0, 10)
        until(lambda: len(run.accepted) == 10)
    verdict, _ = run.judge()
    assert verdict.is_good and verdict.taken == 10, verdict
    assert asked[:4] == ["127.0.0.1", "169.254.169.254", "169.254.169.254", "127.0.0.1"]


def test_a_flaky_endpoint_under_load_gets_everything_in_order(sink, sending):
    sink.mode("flaky", "flaky")
    run = sending("flaky", timeout_s=1.0)
    with noting_accepted(run.accepted):
        publish(run.manager, 0, 200)
        until(lambda: len(run.accepted) == 200)
    verdict, _ = run.judge()
    assert verdict.is_good and verdict.taken == 200 and verdict.copies["error"] > 0, verdict
