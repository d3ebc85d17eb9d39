"""Every option is changed under load: sessions go on, no event is lost, and the new value is in force."""

from __future__ import annotations

import gc
import itertools
import logging
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from socket import create_server

import gevent
import psutil
import pytest
from gevent.socket import socket

from rtmpd import log
from rtmpd.config import flags
from rtmpd.config.loader import Loaded, load
from rtmpd.config.options import spec
from rtmpd.errors import ConnectionLost
from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.hook.build import check_auth, check_template
from rtmpd.hook.filter import condition
from rtmpd.hook.sink.plugin import check_plugin
from rtmpd.reload import Outcome, reload
from rtmpd.server.access.webtoken import check_key
from rtmpd.settings import Settings, TlsSettings
from tests.integration.options import PLUGINS, Step, Tree, steps, written
from tests.support.child import free_port
from tests.support.client import AAC_HEADER, AVC_HEADER, Client, audio, interframe, keyframe
from tests.support.house import Running, descriptors, greenlets, resident_bytes
from tests.support.receiver import NO_CONTENT, Request, receiving
from tests.support.waiting import wait_until

FRAME_S = 0.004
ANSWER_S = 0.01
TOKENS = "me:0123456789abcdef0123456789abcdef\n"


class Desk:
    """The configuration as the control socket would show it."""

    show = diff = test = reload = staticmethod(dict)


class Endpoint:
    """Answers late enough for something to be under way at any time, and keeps the ids."""

    def __init__(self) -> None:
        self.ids: Counter[str] = Counter()

    def __call__(self, sock: socket, request: Request) -> bool:
        gevent.sleep(ANSWER_S)
        self.ids[request.headers["x-rtmp-event-id"]] += 1
        sock.sendall(NO_CONTENT)
        return True


class Load:
    """A publisher and two players that must not notice anything, and clients that come and go."""

    def __init__(self, house: Running) -> None:
        self.house = house
        self.publisher = house.client()
        self.msid = self.publisher.publish("steady")
        self.players = [house.client(), house.client()]
        for player in self.players:
            player.play("steady")
        self.conn_ids = {house.connection(client).conn_id for client in (self.publisher, *self.players)}
        self.lost: list[BaseException] = []
        self.frames = [0, 0]
        self.visits = 0
        self._ends = False
        self._greenlets = [
            gevent.spawn(self._publish),
            gevent.spawn(self._churn),
            *(gevent.spawn(self._watch, index) for index in range(2)),
        ]

    def _publish(self) -> None:
        client, msid = self.publisher, self.msid
        client.video(msid, AVC_HEADER)
        client.audio(msid, AAC_HEADER)
        for number in itertools.count():
            if self._ends:
                return
            frame = keyframe(400) if number % 25 == 0 else interframe(200)
            client.video(msid, frame, number * 40)
            client.audio(msid, audio(), number * 40)
            gevent.sleep(FRAME_S)

    def _watch(self, index: int) -> None:
        player = self.players[index]
        try:
            while not self._ends:
                player._pull()
                self.frames[index] += len(player.frames)
                player.messages.clear()
        except (ConnectionLost, OSError) as error:
            if not self._ends:
                self.lost.append(error)

    def _churn(self) -> None:
        """Whether they are let in depends on the option of the moment."""
        while not self._ends:
            self.visits += 1
            try:
                client = Client(self.house.address)
            except (OSError, ConnectionLost):
                continue
            try:
                client.publish(f"visit{self.visits % 5}")
            except (ConnectionLost, OSError, AssertionError):
                pass
            finally:
                client.close()
            gevent.sleep(0.01)

    def moves(self) -> None:
        """Wait until both players have got another frame."""
        before = list(self.frames)
        moved: Callable[[], bool] = lambda: all(now > then for now, then in zip(self.frames, before, strict=True))  # noqa: E731
        wait_until(lambda: self.lost or moved(), "media flows on")
        assert not self.lost

    def finish(self) -> None:
        self._ends = True
        for greenlet in self._greenlets[:2]:
            greenlet.get(timeout=10)
        gevent.killall(self._greenlets)
        for client in (self.publisher, *self.players):
            client.close()


class Rig:
    """A house that was started from a file, which can be written anew and reloaded."""

    def __init__(self, home: Path, certificate: TlsSettings, urls: tuple[str, str]) -> None:
        self.home = home
        self.file = home / "rtmpd.ini"
        self.facts = {name: str(home / name) for name in ("cert", "key", "tokens")}
        shutil.copy(certificate.cert, self.facts["cert"])
        shutil.copy(certificate.key, self.facts["key"])
        for name in ("cert", "key"):
            shutil.copy(self.facts[name], self.facts[name] + ".second")
        (home / "tokens").write_text(TOKENS)
        (home / "t1").write_text("f" * 32)
        self.facts |= {"home": str(home), "port": str(free_port()), "http_port": str(free_port())}
        self.facts["playback_port"] = str(free_port())
        self.facts["url"] = urls[1]
        self.base = self._base(urls)
        self.write(self.base)
        self.house = Running(settings=self.read().settings)
        self.house.house.serve_http(Desk(), log)

    def _base(self, urls: tuple[str, str]) -> Tree:
        webhook = {"type": "webhook", "guarantee_level": "at-least-once", "initial_delay": "10ms", "max_delay": "50ms"}
        return {
            ("server",): {
                "listen": "127.0.0.1:0", "tls_listen": "127.0.0.1:0",
                "tls_cert": self.facts["cert"], "tls_key": self.facts["key"],
            },
            ("apps",): {},
            ("apps", "second"): {},
            ("http",): {
                "listen": "127.0.0.1:0", "socket": f"{self.home}/first.sock", "token_file": f"{self.home}/t1",
                "tls_listen": "127.0.0.1:0", "tls_cert": self.facts["cert"], "tls_key": self.facts["key"],
            },
            ("playback",): {
                "listen": "127.0.0.1:0",
                "tls_listen": "127.0.0.1:0", "tls_cert": self.facts["cert"], "tls_key": self.facts["key"],
            },
            ("store",): {"path": f"{self.home}/events.db"},
            ("metrics",): {"statsd": f"127.0.0.1:{free_port()}", "statsd_interval": "100ms"},
            ("hooks",): {},
            ("hooks", "ledger"): {**webhook, "url": urls[0]},
            ("hooks", "guinea"): {**webhook, "url": urls[1]},
            ("hooks", "prog"): {"type": "script", "path": "/bin/true", "event_types": "server_stop"},
            ("hooks", "plug"): {"type": "plugin", "name": "quiet"},
        }  # fmt: skip

    def write(self, tree: Tree) -> None:
        self.file.write_text(written(tree))

    def read(self) -> Loaded:
        return load(
            flags.parse(["-c", str(self.file)]), EVENT_TYPES, {},
            condition.check, check_auth, check_key, check_template, check_plugin,
        )  # fmt: skip

    def reload(self) -> Outcome:
        return reload(self.house.house, self.house.house.settings, self.read)

    @property
    def settings(self) -> Settings:
        return self.house.house.settings

    def changed(self, tree: Tree) -> Outcome:
        """Write, reload, and see that every part has what the file says."""
        self.write(tree)
        outcome = self.reload()
        assert not outcome.problems, outcome.problems
        assert outcome.settings == self.settings
        self.assert_in_force()
        return outcome

    def assert_in_force(self) -> None:
        """Each room has its slice of the settings, down to the parts that were there before."""
        house, new = self.house.house, self.settings
        context, instruments = house.context, house.instruments
        assert (context.server, context.limits, context.quality) == (new.server, new.limits, new.quality)
        assert context.chunk_limits.message_bytes == new.limits.message_bytes
        assert context.apps == house.registry._apps == new.apps
        assert {stream.settings for stream in house.registry} <= {new.apps.default, *dict(new.apps.named).values()}
        assert context.access._settings == new.access
        assert sorted(map(str, house.addresses)) == sorted(self._real(new))
        assert {hook.id: hook for hook in new.hooks.hooks} == {
            id: lane.settings for id, lane in house.hooks.lanes.items() if lane.configured
        }
        assert house.hooks.events is not None and house.hooks.events._settings == new.hooks.store
        assert instruments._metrics == new.metrics and instruments._alerts == new.alerts
        assert (instruments._pusher is not None) and instruments._pusher._settings == new.metrics
        assert instruments._monitor is not None
        assert (instruments._monitor._greenlet is not None) == new.alerts.enabled
        assert instruments._monitor._settings.interval_s == new.alerts.interval_s
        assert house._http is not None and house._http._settings == new.http
        assert house._http._server.socket_path == new.http.socket
        assert (house._playback.settings, house._playback.apps) == (new.playback, new.apps)
        assert house._viewers._settings.listen == new.playback.listen
        assert logging.getLogger("rtmpd").level == getattr(logging, new.log.level.upper())

    def _real(self, new: Settings) -> list[str]:
        """The wanted addresses, with the port that the first of each kind has got for 0."""
        listeners = self.house.house._server._listeners
        places = [address if not address.port else replace(address, tls=False) for address in new.server.listen]
        return [str(listeners[place].address) for place in places]


@pytest.fixture
def endpoints() -> Iterator[tuple[Endpoint, Endpoint, tuple[str, str]]]:
    ledger, guinea = Endpoint(), Endpoint()
    with receiving(ledger) as first, receiving(guinea) as second:
        yield ledger, guinea, (first.url, second.url)


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmpd.hook.sink.plugin.entry_points", lambda group: PLUGINS)


def test_every_option_can_be_changed_under_load(
    tmp_path: Path, certificate: TlsSettings, logs: None, endpoints: tuple[Endpoint, Endpoint, tuple[str, str]]
) -> None:
    ledger, _, urls = endpoints
    rig = Rig(tmp_path, certificate, urls)
    base = rig.settings
    try:
        load = Load(rig.house)
        for step in steps(rig.facts):
            outcome = rig.changed(step.applied(rig.base))
            _assert_changed(rig, base, step, outcome)
            load.moves()
        rig.changed(rig.base)
        assert rig.settings == base
        assert load.conn_ids <= set(rig.house.house.context.connections), "a session was closed"
        load.finish()
        assert load.visits > 20 and not load.lost
        wanted = [event.id for event in rig.house.events if event.data.get("hook_id") != "ledger"]
        wait_until(lambda: not set(wanted) - set(ledger.ids), "every event has arrived", 20)
    except BaseException:
        rig.house.house.stop(0.0)
        raise
    rig.house.finish()
    _assert_told(rig)


def _assert_changed(rig: Rig, base: Settings, step: Step, outcome: Outcome) -> None:
    if step.option.reload == "restart":
        assert ".".join((*step.place, step.option.key)) in outcome.restart
        assert rig.settings == base, step.name
        return
    assert outcome.restart == ()
    assert rig.settings != base, f"{step.name} is not in force"
    slice = {"store": rig.settings.hooks.store}.get(step.place[0]) or getattr(rig.settings, step.place[0])
    if step.place[0] == "apps":
        slice = rig.settings.apps.of(step.place[-1]) if len(step.place) > 1 else rig.settings.apps.default
    if len(step.place) == 1 and hasattr(slice, step.option.field) and step.option.kind not in ("addresses", "path"):
        assert getattr(slice, step.option.field) == step.option.check(_listed(step)), step.name


def _listed(step: Step) -> str | list[str]:
    """The value as the file reader hands it to the check."""
    text = step.value.strip("'\"")
    return [part.strip() for part in text.split(",")] if "," in text else text


def _assert_told(rig: Rig) -> None:
    told = [event for event in rig.house._recorder.events if event.type == "config_reload"]
    assert told and {event.data["result"] for event in told} == {"applied"}



# --- what is wrong --------------------------------------------------------------------------------

_KINDS = {
    "addresses": "nonsense:port", "burst": "0", "conditions": "no", "content_type": "none", "count": "many",
    "delays": "soon", "destinations": "nowhere", "endpoint": "here", "header": "a b", "headers": "no colon",
    "latencies": "never", "levels": "high", "milliseconds": "now", "modes": "closed", "networks": "300.0.0.1",
    "node": "a\\tb", "octal": "888", "pairs": "no", "rate": "1000", "record_path": "{nothing}", "seconds": "later",
    "secrets": "x until never", "size": "big", "switch": "maybe", "texts": "'", "tokens": "no-colon", "url": "ftp//x",
    "word": "nonsense",
}  # fmt: skip


def bad_trees(rig: Rig) -> Iterator[tuple[str, str, str]]:
    """A key or section to be named, a file, and what has to be said, for each kind of value and of mistake."""
    seen: set[str] = set()
    for step in steps(rig.facts):
        kind = step.option.kind
        if kind in _KINDS and kind not in seen and len(step.place) < 3:
            seen.add(kind)
            bad = {**rig.base.get(step.place, {}), **step.others, step.option.key: _KINDS[kind]}
            yield step.name, written({**rig.base, step.place: bad}), ""
    good = written(rig.base)
    for section in spec().sections:
        with_nonsense = {**rig.base.get((section,), {}), "nonsense": "1"}
        yield f"{section}.nonsense", written({**rig.base, (section,): with_nonsense}), ""
    yield "nonsense", good + "[nonsense]\nkey = 1\n", "no such section"
    yield "", good + "no equals sign\n", "invalid line"
    yield "", good + "[log\n", ""
    yield "", good + "[log]\nlevel = info\nlevel = info\n", ""
    yield "quality.window", good + "[quality]\nwindow = ${NOT_SET}\n", ""
    yield "access.signing_keys", good + "[access]\nsigning_keys = ${file:none}\n", ""
    yield "access.token_file", good + "[access]\ntoken_file = none\n", ""
    taken = f"127.0.0.1:{rig.facts['taken']}"
    for place, key in ((("server",), "listen"), (("server",), "tls_listen"), (("http",), "listen")):
        tree = {**rig.base, place: {**rig.base[place], key: f"127.0.0.1:0, {taken}"}}
        yield f"{place[0]}.{key}", written(tree), "Address already in use"
    socket_tree = {**rig.base, ("http",): {**rig.base["http",], "socket": f"{rig.home}/tokens"}}
    yield "http.socket", written(socket_tree), "there is something else"
    for key, name in (("tls_cert", "tokens"), ("tls_key", "tokens"), ("tls_cert", "none")):
        tls = {**rig.base["server",], key: str(rig.home / name)}
        yield "server.tls_cert" if name == "tokens" else f"server.{key}", written({**rig.base, ("server",): tls}), ""
    yield "log.file", written({**rig.base, ("log",): {"file": f"{rig.home}/none/log"}}), "No such file"
    guinea = rig.base["hooks", "guinea"]
    yield "hooks.guinea.url", written({**rig.base, ("hooks", "guinea"): {**guinea, "url": "http://"}}), ""


def test_an_invalid_file_changes_nothing_and_is_named_with_line_and_key(
    tmp_path: Path, certificate: TlsSettings, logs: None, endpoints: tuple[Endpoint, Endpoint, tuple[str, str]]
) -> None:
    rig = Rig(tmp_path, certificate, endpoints[2])
    base = rig.settings
    with create_server(("127.0.0.1", 0)) as taken:
        rig.facts["taken"] = str(taken.getsockname()[1])
        count = _refused(rig)
    assert count >= 50
    assert rig.settings is base
    rig.assert_in_force()
    told = rig.house.of("config_reload")
    assert [event.data["result"] for event in told] == ["rejected"] * count
    assert all(event.severity == "error" and event.data["errors"] for event in told)
    assert len(rig.house.logged("configuration not reloaded")) == count
    rig.house.check_service()
    rig.house.finish()


def _refused(rig: Rig) -> int:
    house, held = rig.house.house, _held()
    lanes, listeners = dict(house.hooks.lanes), dict(house._server._listeners)
    count = 0
    for key, text, words in bad_trees(rig):
        rig.file.write_text(text)
        outcome = rig.reload()
        assert outcome.problems, f"{key}: {text}"
        first = outcome.problems[0]
        assert re.match(rf"{rig.file}:[0-9]+: {re.escape(key)}{': ' if key else ''}", first), (key, outcome.problems)
        assert words in first
        assert dict(house.hooks.lanes) == lanes and house._server._listeners == listeners
        count += 1
    assert _held() == held
    return count


def _held() -> tuple[list[object], list[str], Counter[str]]:
    """Listening sockets, files and the greenlets of listeners; connections of hooks come and go."""
    process = psutil.Process()
    listening = sorted(one.laddr for one in process.net_connections("all") if one.status == "LISTEN")
    http = Counter({name: count for name, count in greenlets().items() if name.startswith("http")})
    return listening, sorted(file.path for file in process.open_files() if ".db" not in file.path), http


# --- again and again ------------------------------------------------------------------------------


def test_a_hundred_reloads_leak_nothing(
    tmp_path: Path, certificate: TlsSettings, logs: None, endpoints: tuple[Endpoint, Endpoint, tuple[str, str]]
) -> None:
    """Each changes something of every room; now and then one is refused."""
    rig = Rig(tmp_path, certificate, endpoints[2])
    rig.base["hooks",] = {"concurrency": "1"}  # else what hooks have under way would hide a leak
    rig.changed(rig.base)
    load = Load(rig.house)
    other = rig.base
    names = (
        "server.listen", "limits.connections", "apps.flush", "access.token_file",
        "hooks.guinea.template", "hooks.node", "log.file", "metrics.statsd_prefix", "alerts.interval",
        "http.listen", "http.socket", "playback.listen",
    )  # fmt: skip
    for step in steps(rig.facts):
        if step.name in names:
            other = step.applied(other)
    marks = []
    for number in range(120):
        rig.changed(other if number % 2 else rig.base)
        if number % 10 == 0:
            rig.file.write_text("nonsense")
            assert rig.reload().problems
        load.moves()
        if number % 20 == 19:
            rig.changed(rig.base)
            marks.append(_settled(rig))
    files, alive, threads, memory = zip(*marks[1:], strict=True)
    load.finish()
    rig.house.finish()
    assert min(files[-2:]) <= max(files[:2]) + 4, files  # a client and what hooks have under way
    assert max(threads) - min(threads) <= 2, threads  # the pool grows and shrinks with what is to do
    assert alive[-1].total() <= alive[0].total() + 4, alive[-1] - alive[0]
    assert memory[-1] - memory[0] < 4 << 20, memory  # the test itself keeps every event and log record


def _settled(rig: Rig) -> tuple[int, Counter[str], int, int]:
    """What is held when everything that was replaced has ended: descriptors, greenlets, threads, bytes."""
    house = rig.house.house
    wait_until(lambda: not house.hooks._retiring, "the replaced lanes have ended")
    assert house._http is not None
    leaving = house._http._server._leaving
    wait_until(lambda: not leaving, "the replaced listeners have ended")
    gc.collect()
    ours = ("hook", "http", "config", "monitor", "statsd", "watch", "lag")
    alive = Counter({name: count for name, count in greenlets().items() if name.startswith(ours)})
    return descriptors(), alive, threading.active_count(), resident_bytes()
