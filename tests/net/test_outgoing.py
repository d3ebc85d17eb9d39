"""From a name to its addresses and from the addresses to a connection: who waits for whom."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest
from gevent import monkey

from rtmpd.clock import FakeClock
from rtmpd.net import outgoing
from rtmpd.net.networks import NetworkRules
from rtmpd.net.outgoing import (
    FRESH_S,
    STALE_S,
    AddressRefused,
    Endpoint,
    Outgoing,
    ascii_name,
    interleaved,
    literal,
    race,
)
from rtmpd.net.transport import RawSocket
from tests.support.waiting import until

PATIENCE_S = 10.0
_Event = monkey.get_original("threading", "Event")


def v4(address: str, port: int = 0) -> Endpoint:
    return Endpoint(socket.AF_INET, (address, port))


def v6(address: str, port: int = 0) -> Endpoint:
    return Endpoint(socket.AF_INET6, (address, port, 0, 0))


class Names:
    """A name server: names of ``silent`` are not answered until ``answer``."""

    def __init__(self) -> None:
        self.known: dict[str, list[Endpoint]] = {}
        self.silent: dict[str, threading.Event] = {}
        self.asked: list[str] = []

    def __call__(self, name: str) -> list[Endpoint]:
        self.asked.append(name)
        if name in self.silent and not self.silent[name].wait(PATIENCE_S):
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        if name not in self.known:
            raise socket.gaierror(-2, "Name or service not known")
        return list(self.known[name])

    def silence(self, name: str) -> None:
        self.silent[name] = _Event()

    def answer(self) -> None:
        for event in self.silent.values():
            event.set()


@pytest.fixture
def names() -> Iterator[Names]:
    names = Names()
    yield names
    names.answer()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def way(names: Names, clock: FakeClock) -> Outgoing:
    return Outgoing(clock, 2, look_up=names)


def addresses(found: list[Endpoint]) -> list[str]:
    return [endpoint.address for endpoint in found]


# --- names ----------------------------------------------------------------------------------------


def test_an_address_is_not_looked_up(way: Outgoing, names: Names) -> None:
    for host in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "::1"):
        assert way.resolve(host, 80)[0].sockaddr[:2] in (("127.0.0.1", 80), ("::1", 80))
    assert names.asked == []


def test_a_zone_stays_with_its_address() -> None:
    (endpoint,) = literal("fe80::1%lo")
    assert endpoint.at(1935).sockaddr[1:] == (1935, 0, socket.if_nametoindex("lo"))


def test_an_answer_is_good_for_seconds_and_is_asked_for_again_after_that(
    way: Outgoing, names: Names, clock: FakeClock
) -> None:
    names.known["h.test"] = [v4("10.0.0.1")]
    assert addresses(way.resolve("h.test", 1)) == addresses(way.resolve("h.test", 1)) == ["10.0.0.1"]
    assert names.asked == ["h.test"]
    names.known["h.test"] = [v4("10.0.0.2")]
    clock.advance(FRESH_S)
    assert addresses(way.resolve("h.test", 1)) == ["10.0.0.2"]


def test_fifty_who_need_a_name_ask_once(way: Outgoing, names: Names) -> None:
    names.known["h.test"] = [v4("10.0.0.1")]
    names.silence("h.test")
    waiting = [gevent.spawn(way.resolve, "h.test", 1) for _ in range(50)]
    until(lambda: names.asked)
    names.answer()
    gevent.joinall(waiting, timeout=PATIENCE_S, raise_error=True)
    assert names.asked == ["h.test"] and addresses(waiting[49].get()) == ["10.0.0.1"]


def test_a_failure_is_for_those_who_wait_and_the_next_asks_again(way: Outgoing, names: Names) -> None:
    names.silence("h.test")
    waiting = [gevent.spawn(way.resolve, "h.test", 1) for _ in range(3)]
    until(lambda: names.asked)
    names.answer()
    gevent.joinall(waiting, timeout=PATIENCE_S)
    assert {type(each.exception) for each in waiting} == {socket.gaierror} and names.asked == ["h.test"]
    names.known["h.test"] = [v4("10.0.0.1")]
    assert addresses(way.resolve("h.test", 1)) == ["10.0.0.1"]


def test_a_name_that_is_never_answered_delays_only_those_who_need_it(way: Outgoing, names: Names) -> None:
    names.known["good.test"] = [v4("10.0.0.1")]
    names.silence("mute.test")
    stuck = [gevent.spawn(way.resolve, "mute.test", 1) for _ in range(40)]
    until(lambda: names.asked)
    assert addresses(way.resolve("good.test", 1)) == ["10.0.0.1"]
    assert not any(each.ready() for each in stuck)
    gevent.killall(stuck)


def test_more_silent_names_than_threads_hold_up_this_consumer_and_no_other(
    way: Outgoing, names: Names, clock: FakeClock
) -> None:
    names.known["good.test"] = [v4("10.0.0.1")]
    for name in ("a.test", "b.test", "c.test"):
        names.silence(name)
    stuck = [gevent.spawn(way.resolve, name, 1) for name in ("a.test", "b.test", "c.test")]
    until(lambda: len(names.asked) == 2)
    waiting = gevent.spawn(way.resolve, "good.test", 1)
    gevent.sleep(0.01)
    assert not waiting.ready() and sorted(names.asked) == ["a.test", "b.test"]
    assert addresses(Outgoing(clock, 1, look_up=names).resolve("good.test", 1)) == ["10.0.0.1"]
    stuck.pop().kill()  # nobody needs c.test any more: it must not take a thread when one is free
    names.answer()
    assert addresses(waiting.get(timeout=PATIENCE_S)) == ["10.0.0.1"]
    assert "c.test" not in names.asked
    gevent.joinall(stuck, timeout=PATIENCE_S)


def test_whoever_gives_up_leaves_the_look_up_to_the_others(way: Outgoing, names: Names) -> None:
    names.known["h.test"] = [v4("10.0.0.1")]
    names.silence("h.test")
    with pytest.raises(gevent.Timeout) as late, gevent.Timeout(0.01):
        way.resolve("h.test", 1)
    assert late.value.__notes__ == ["the name was not resolved"]
    patient = gevent.spawn(way.resolve, "h.test", 1)
    gevent.sleep(0)
    names.answer()
    assert addresses(patient.get(timeout=PATIENCE_S)) == ["10.0.0.1"] and names.asked == ["h.test"]


def test_an_old_answer_serves_while_the_name_server_is_silent_or_fails(
    way: Outgoing, names: Names, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.known["h.test"] = [v4("10.0.0.1")]
    way.resolve("h.test", 1)
    monkeypatch.setattr(outgoing, "STALE_WAIT_S", 0.01)
    clock.advance(FRESH_S + 1)
    names.silence("h.test")
    assert addresses(way.resolve("h.test", 1)) == ["10.0.0.1"]
    del names.known["h.test"]
    names.answer()
    until(lambda: way._running == 0)
    assert addresses(way.resolve("h.test", 1)) == ["10.0.0.1"] and len(names.asked) == 2
    clock.advance(STALE_S)
    with pytest.raises(socket.gaierror):
        way.resolve("h.test", 1)


def test_a_new_answer_replaces_the_old_one(way: Outgoing, names: Names, clock: FakeClock) -> None:
    names.known["h.test"] = [v4("10.0.0.1")]
    way.resolve("h.test", 1)
    assert way.leads_to("h.test", "10.0.0.1") and way.leads_to("h.test", "10.0.0.2") is False
    names.known["h.test"] = [v4("10.0.0.2")]
    assert way.leads_to("h.test", "10.0.0.1"), "the answer is fresh"
    clock.advance(FRESH_S)
    assert way.leads_to("h.test", "10.0.0.1") is None, "asked for, and not waited for"
    until(lambda: way.leads_to("h.test", "10.0.0.1") is False)
    assert way.leads_to("127.0.0.1", "127.0.0.1") and names.asked == ["h.test"] * 2


def test_what_a_thread_raises_reaches_those_who_wait(clock: FakeClock) -> None:
    def broken(name: str) -> list[Endpoint]:
        raise RuntimeError("a bug")

    with pytest.raises(OSError, match="RuntimeError: a bug"):
        Outgoing(clock, 1, look_up=broken).resolve("h.test", 1)
    with pytest.raises(OSError, match="no address"):
        Outgoing(clock, 1, look_up=lambda name: []).resolve("h.test", 1)


@pytest.mark.parametrize("host", ["a..b", "", ".", "x\0y", "\u2028"])
def test_what_cannot_be_a_name_is_an_error(way: Outgoing, names: Names, host: str) -> None:
    with pytest.raises(OSError, match="not a name"):
        way.resolve(host, 1)
    assert names.asked == []


def test_names_are_asked_for_in_ascii_and_keep_a_trailing_dot() -> None:
    assert ascii_name("b\xfccher.example") == "xn--bcher-kva.example"
    assert ascii_name("hooks.example.com.") == "hooks.example.com."


def test_the_system_is_asked(clock: FakeClock) -> None:
    assert "127.0.0.1" in addresses(Outgoing(clock, 1).resolve("localhost", 80))
    with pytest.raises(OSError):
        Outgoing(clock, 1).resolve("no-such-host.invalid", 80)


# --- connections ----------------------------------------------------------------------------------


@contextmanager
def listening(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    with RawSocket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen(8)
        yield server.getsockname()[1]


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that answers no SYN: its queue is full."""
    with RawSocket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("127.0.0.2", 0))
        server.listen(0)
        port = server.getsockname()[1]
        held = []
        for _ in range(4):
            held.append(RawSocket(socket.AF_INET, socket.SOCK_STREAM))
            held[-1].setblocking(False)
            held[-1].connect_ex(("127.0.0.2", port))
        gevent.sleep(0.05)
        yield port
        for each in held:
            each.close()


def test_the_families_take_turns_beginning_with_the_systems_first() -> None:
    found = [v6("::1"), v6("::2"), v6("::3"), v4("10.0.0.1")]
    assert addresses(interleaved(found)) == ["::1", "10.0.0.1", "::2", "::3"]
    assert addresses(interleaved(found[::-1])) == ["10.0.0.1", "::3", "::2", "::1"]


@pytest.mark.parametrize("turned", [False, True])
def test_an_address_that_never_answers_does_not_hide_a_good_one(names: Names, clock: FakeClock, turned: bool) -> None:
    """The first answers no SYN. Without a race the whole deadline goes to it."""
    with black_hole() as port, listening(port=port):
        names.known["two.test"] = [v4("127.0.0.2"), v4("127.0.0.1")][:: -1 if turned else 1]
        with gevent.Timeout(PATIENCE_S):
            sock, endpoint = Outgoing(clock, 1, look_up=names).connect("two.test", port)
        assert endpoint.address == sock.getpeername()[0] == "127.0.0.1"
        sock.close()


def test_an_address_that_refuses_costs_no_wait() -> None:
    with listening() as port:
        sock, endpoint = race([v4("127.0.0.3", port), v4("127.0.0.1", port)], stagger_s=3600)
        assert endpoint.address == "127.0.0.1"
        sock.close()


def test_without_a_good_address_the_error_of_a_near_miss_is_told() -> None:
    with listening() as port:
        pass
    with pytest.raises(OSError) as raised:
        race([v6("2001:db8::1", port), v4("127.0.0.1", port)], stagger_s=0.05)
    assert raised.value.errno in (errno.ECONNREFUSED, errno.ETIMEDOUT)


def test_losers_and_given_up_attempts_are_closed() -> None:
    def open_files() -> int:
        import os

        return len(os.listdir("/proc/self/fd"))

    with black_hole() as port, listening(port=port):
        before = open_files()
        sock, _ = race([v4("127.0.0.2", port), v4("127.0.0.1", port)], stagger_s=0.01)
        sock.close()
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
            race([v4("127.0.0.2", port)])
        assert open_files() == before


def test_the_rules_hold_for_each_address_and_the_very_one_is_connected_to(names: Names, clock: FakeClock) -> None:
    way = Outgoing(clock, 1, NetworkRules(deny=["127.0.0.2"]), names)
    with listening() as port:
        names.known["both.test"] = [v4("127.0.0.1"), v4("127.0.0.2")]
        with pytest.raises(AddressRefused, match=r"127\.0\.0\.2 is in deny_networks"):
            way.connect("both.test", port)
        clock.advance(FRESH_S)
        names.known["both.test"] = [v4("127.0.0.1")]
        sock, _ = way.connect("both.test", port)
        assert sock.getpeername() == ("127.0.0.1", port) and len(names.asked) == 2, "no look-up between the two"
        sock.close()
