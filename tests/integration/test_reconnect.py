"""The Reconnect Request of Enhanced RTMP v2: what clients that can move hear when the server stops."""

from __future__ import annotations

import gevent
import pytest

from tests.integration.conftest import Start
from tests.support.client import keyframe
from tests.support.proof import proves
from tests.support.waiting import wait_until

CODE = "NetConnection.Connect.ReconnectRequest"


@pytest.mark.parametrize("url", ["", "rtmp://other.example/live"])
def test_clients_that_can_reconnect_are_asked_to_and_others_are_not(start: Start, url: str) -> None:
    house = start(server={"reconnect_url": url, "drain_s": 5.0})
    mover, stayer, stranger = house.client(), house.client(), house.client()
    mover.connect(capsEx=1.0)
    msid = mover.publish("moves")
    mover.video(msid, keyframe())
    stayer.connect(capsEx=14.0)
    stranger.connect()
    stopper = gevent.spawn(house.house.stop, 5.0)
    mover.wait_code(CODE)
    [command] = [one for one in mover.commands("onStatus") if one.argument(0)["code"] == CODE]
    information = command.argument(0)
    assert (command.msid, command.transaction, information["level"]) == (0, 0.0, "status")
    assert information.get("tcUrl", "") == url
    mover.close()
    for client in (stayer, stranger):
        client.wait_end()
        assert CODE not in client.codes()
    stopper.get(timeout=8)


@proves("server.ask_to_reconnect")
def test_an_operator_can_have_nobody_asked(start: Start) -> None:
    house = start(server={"ask_to_reconnect": False})
    client = house.client()
    client.connect(capsEx=1.0)
    stopper = gevent.spawn(house.house.stop, 0.0)
    client.wait_end()
    assert CODE not in client.codes()
    stopper.get(timeout=8)


def test_nobody_is_asked_twice_by_an_impatient_stop(start: Start) -> None:
    house = start()
    client = house.client()
    client.connect(capsEx=1.0)
    first = gevent.spawn(house.house.stop, 60.0)
    client.wait_code(CODE)
    first.kill()
    house.house.stop(0.0)
    client.wait_end()
    assert client.codes().count(CODE) == 1


def test_a_player_that_is_parked_is_asked_too(start: Start) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    msid = publisher.publish("a")
    publisher.headers(msid)
    publisher.video(msid, keyframe())
    player.connect(capsEx=1.0)
    player.play("a")
    player.wait_payload(keyframe())
    stopper = gevent.spawn(house.house.stop, 5.0)
    player.wait_code(CODE)
    player.close()
    publisher.close()
    wait_until(lambda: stopper.dead, "the drain ends when everybody has left")
