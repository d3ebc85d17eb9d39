"""RTMPS: the same house behind TLS, and what comes to the wrong door."""

from __future__ import annotations

import ssl

import pytest

from rtmpd.net.tls import client_context
from rtmpd.settings import Address, TlsSettings
from tests.integration.conftest import Start
from tests.support.client import audio, handshake_bytes, keyframe
from tests.support.proof import proves
from tests.support.waiting import wait_until

Settings = dict[str, object]


def only(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = client_context(verify=False)
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("park", [True, False], ids=["parked", "unparked"])
def test_publish_and_play_over_tls(
    start: Start, certificate: TlsSettings, version: ssl.TLSVersion, park: bool
) -> None:
    house = start(
        listen=(Address("127.0.0.1", 0, tls=True),), server={"tls": certificate, "park_idle_players": park}
    )
    publisher, player = house.client(tls=only(version)), house.client(tls=only(version))
    msid = publisher.publish()
    playing = player.play()
    for number in range(30):
        publisher.video(msid, keyframe(30_000 + number), number * 40)
        publisher.audio(msid, audio(30 + number), number * 40)
    player.wait_payload(audio(59))
    assert len(player.frames) == 60
    accept = house.wait_event("connection_accept").data
    assert (accept["tls"], accept["protocol"]) == (True, "rtmps")
    shaken = house.wait_event("handshake_complete").data
    assert shaken["tls_version"] == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert shaken["tls_cipher"]
    player.call("deleteStream", None, float(playing))
    house.wait_event("play_stop", reason="stopped")
    player.close()
    wait_until(lambda: len(house.of("connection_close")) == 1, "the player's end is noticed")
    assert not house.errors()


def test_older_tls_is_refused(start: Start, rtmps: Settings) -> None:
    house = start(**rtmps)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(Exception, match="TLS"):
        house.client(tls=context)
    house.the_error("connection_error", "handshake_failure", "tls_failure", "handshake")


@proves("limits.tls_handshake_timeout")
def test_a_silent_tls_peer_is_cut_by_its_deadline_and_keeps_nobody_waiting(start: Start, rtmps: Settings) -> None:
    house = start(limits={"tls_handshake_timeout_s": 1.5}, **rtmps)
    silent = [house.raw() for _ in range(10)]
    publisher = house.client(tls=True)
    publisher.publish()
    assert not house.errors(), "the silent ones are still there"
    for raw in silent:
        raw.read_to_end()
    wait_until(lambda: len(house.errors()) == 10, "each is told")
    for event in house.errors():
        assert (event.data["error_type"], event.data["error_code"], event.data["phase"]) == (
            "timeout", "tls_handshake_timeout", "handshake",
        )  # fmt: skip
    assert len(house.logged("connection failed")) == 10


NOT_TLS = [handshake_bytes(), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello" + bytes(9)]


@pytest.mark.parametrize("sent", NOT_TLS, ids=["rtmp", "http", "broken hello"])
def test_what_is_not_tls_gets_a_clear_error_on_a_tls_port(start: Start, rtmps: Settings, sent: bytes) -> None:
    house = start(**rtmps)
    raw = house.raw()
    raw.send(sent)
    raw.read_to_end()
    event = house.the_error("connection_error", "handshake_failure", "tls_failure", "handshake")
    assert "TLS handshake failed" in str(event.data["error_message"])


def test_a_tls_client_on_a_plain_port_gets_a_clear_error(start: Start, rtmps: Settings) -> None:
    house = start(**rtmps)
    with pytest.raises(Exception, match="TLS"):
        house.client(house.addresses[1], tls=True)
    event = house.the_error("connection_error", "handshake_failure", "unsupported_version", "handshake")
    assert "TLS client on a plain port" in str(event.data["error_message"])


def test_garbage_inside_tls_is_an_error_of_the_chunk_stream(start: Start, rtmps: Settings) -> None:
    house = start(**rtmps)
    client = house.client(tls=True)
    client.raw(b"\xff" * 500)
    client.wait_end()
    house.the_error("connection_error", "protocol_error", "no_header_to_repeat", "chunking")


def test_a_broken_record_ends_the_connection_with_a_network_error(start: Start, rtmps: Settings) -> None:
    house = start(**rtmps)
    client = house.client(tls=True)
    client.connect()
    client.sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    client.wait_end()
    house.the_error("connection_error", "network_error", "tls_failure", "command_processing")


def test_an_encrypted_player_that_falls_behind_does_not_cost_its_neighbours_a_frame(
    start: Start, rtmps: Settings
) -> None:
    house = start(**rtmps, app={"flush": "immediate"})
    publisher = house.client(tls=True)
    msid = publisher.publish()
    publisher.chunk_size(65536)
    players = [house.client(tls=True, receive_bytes=4096) for _ in range(6)]
    for player in players:
        player.play()
        house.connection(player).peer.transport._sock.setsockopt(1, 7, 4096)  # SOL_SOCKET, SO_SNDBUF
    for number in range(4):
        publisher.video(msid, keyframe(300_000 + number), number * 40)
    for player in players:
        player.read_until(lambda player=player: len(player.frames) == 4, "four frames")
        assert player.payloads() == [keyframe(300_000 + number) for number in range(4)]


def test_a_refusal_still_reaches_the_client_through_tls(start: Start, rtmps: Settings) -> None:
    house = start(**rtmps)
    house.client(tls=True).publish()
    second = house.client(tls=True)
    second.connect()
    msid = second.create_stream()
    second.call("publish", None, "a", "live", msid=msid)
    second.wait_end()
    assert second.codes(msid) == ["NetStream.Publish.BadName"]


def test_plain_and_encrypted_clients_meet_on_the_same_stream(start: Start, rtmps: Settings) -> None:
    house = start(**rtmps)
    publisher, player = house.client(tls=True), house.client(house.addresses[1])
    msid = publisher.publish()
    player.play()
    publisher.video(msid, keyframe())
    player.wait_payload(keyframe())
