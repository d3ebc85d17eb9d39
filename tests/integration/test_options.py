"""Bounds that are settings: they hold at the value that was set, not at the one they come with."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Any

import gevent
import pytest

from rtmpd.protocol import amf0
from rtmpd.protocol.control import set_chunk_size
from tests.integration.conftest import Start
from tests.integration.test_access import answer, ask, by_callback, receiving
from tests.integration.test_hostile import CALL, CHUNKING, COMMAND, HANDSHAKE, begun, command, nested
from tests.integration.test_slow import numbers, picture, starve
from tests.support.child import free_port
from tests.support.client import chunked
from tests.support.proof import proves
from tests.support.receiver import says
from tests.support.streams import AVC_HEADER, Rig, inter, key, send
from tests.support.waiting import wait_until

# what is sent; the limit that it breaks, and the error_code, type and phase of that
BROKEN: dict[str, tuple[bytes, dict[str, int], str, tuple[str, str]]] = {
    "depth": (command(CALL + nested(10)), {"amf_depth": 6}, "amf_too_deep", COMMAND),
    "items": (command(CALL + b"\x05" * 100), {"amf_items": 64}, "amf_too_many_items", COMMAND),
    "bytes": (command(CALL + amf0.encode("x" * 5000)), {"amf_bytes": 4096}, "amf_too_large", COMMAND),
    "chunks": (
        chunked((2, set_chunk_size(1))) + begun(3, 400) + b"\xc3".join([b"x"] * 400),
        {"small_chunks_per_message": 256},
        "too_many_chunks",
        CHUNKING,
    ),
    "streams": (
        b"".join(begun(csid, 400) + bytes(128) for csid in range(4, 20)),
        {"chunk_streams": 8},
        "too_many_chunk_streams",
        CHUNKING,
    ),
    "message": (begun(3, 70_000), {"message_bytes": 65536}, "message_too_large", CHUNKING),
}


@proves(
    "limits.small_chunks_per_message", "limits.amf_items", "limits.amf_size", "limits.chunk_streams",
    "limits.message_size", "limits.amf_depth",
)  # fmt: skip
@pytest.mark.parametrize("case", BROKEN)
def test_a_limit_of_messages_is_where_it_was_set(start: Start, case: str) -> None:
    data, limits, code, (error_type, phase) = BROKEN[case]
    house = start(limits=limits)
    house.raw().send(HANDSHAKE + data).read_to_end()
    house.the_error("connection_error", error_type, code, phase)
    house.client().publish()
    calm = start()
    calm.raw().send(HANDSHAKE + data).end()
    calm.client().publish()
    assert code not in [error.data.get("error_code") for error in calm.errors()]


@proves("limits.connect_timeout")
def test_a_client_that_does_not_connect_is_cut(start: Start) -> None:
    house = start(limits={"connect_timeout_s": 0.2})
    house.raw().send(HANDSHAKE).read_to_end()
    house.the_error("connection_error", "timeout", "connect_timeout", "command_processing")


@proves("access.callback_allow_networks")
def test_a_callback_goes_to_allowed_networks_only(start: Start) -> None:
    with receiving(says(answer({}))) as receiver:
        start(app=by_callback(receiver), access={"callback_allow_networks": ("loopback",)}).client().publish()
        assert len(receiver.requests) == 1
        house = start(app=by_callback(receiver), access={"callback_allow_networks": ("10.0.0.0/8",)})
        client = house.client()
        ask(client, "publish", "a")
        client.wait_end()
        assert "allow_networks" in str(house.wait_event("auth_failed").data["error"])
        assert len(receiver.requests) == 1


@proves("apps.gop_cache_size", "apps.gop_cache_frames")
@pytest.mark.parametrize("bound", [{"gop_cache_bytes": 120}, {"gop_cache_frames": 3}])
def test_a_gop_that_is_longer_than_its_bound_is_not_kept(bound: dict[str, Any]) -> None:
    def kept(rig: Rig) -> list[bytes]:
        stream = rig.publish()
        for number, body in enumerate([AVC_HEADER, key(b"k" * 40), *(inter(b"i" * 40) for _ in range(5))]):
            send(stream, body, number)
        bodies: list[bytes] = rig.join()[1].bodies
        return bodies

    assert len(kept(Rig())) == 7
    assert kept(Rig(**bound)) == [AVC_HEADER]


@proves("limits.handshake_timeout")
def test_a_client_that_does_not_finish_its_handshake_is_cut(start: Start) -> None:
    house = start(limits={"handshake_timeout_s": 0.2})
    house.raw().send(HANDSHAKE[:100]).read_to_end()
    house.the_error("connection_error", "timeout", "handshake_timeout", "handshake")


@proves("apps.publish_allow")
def test_publishers_come_from_allowed_networks_only(start: Start) -> None:
    start(app={"publish_allow": ("127.0.0.0/8",)}).client().publish()
    client = start(app={"publish_allow": ("10.0.0.0/8",)}).client()
    ask(client, "publish", "a")
    client.wait_end()


@proves("apps.backlog_size", "apps.backlog_time")
@pytest.mark.parametrize("bound", [{"backlog_bytes": 200_000}, {"backlog_ms": 500}], ids=["bytes", "time"])
def test_a_slow_player_loses_pictures_beyond_the_bound_of_its_backlog(start: Start, bound: dict[str, int]) -> None:
    house = start(app={**bound, "flush": "immediate"})
    publisher, slow = house.client(), house.client(receive_bytes=4096)
    msid = publisher.publish()
    publisher.headers(msid)
    slow.play()
    publisher.video(msid, picture(0), 0)
    slow.read_until(lambda: numbers(slow) == [0], "the first picture")
    starve(house, slow)
    for number in range(1, 60):  # 1.2 MB and 2.4 s: within the bounds that the options have by default
        publisher.video(msid, picture(number), number * 40)
    publisher.close()
    house.wait_event("publish_stop")
    slow.close()
    assert house.wait_event("play_stop").data["frames_dropped"] > 0


@proves("apps.push_retry_max")
def test_a_relay_waits_between_its_tries_as_long_as_the_options_say(start: Start) -> None:
    destination = f"rtmp://127.0.0.1:{free_port()}/live/a"
    house = start(app={"push": (destination,), "push_retry_s": 0.02, "push_retry_max_s": 0.05})
    house.client().publish()
    wait_until(lambda: len(house.of("relay_error")) >= 6, "six tries")
    waits = [error.data["retry_in_ms"] for error in house.of("relay_error")[:6]]
    assert waits[0] <= 20 and max(waits) <= 50, waits


@proves("access.failure_delay_max")
def test_the_wait_of_who_is_refused_again_grows_no_further_than_its_bound(start: Start) -> None:
    house = start(
        app={"publish_access": ("token",)}, access={"failure_delay_s": 0.05, "failure_delay_max_s": 0.05}
    )  # by default the tenth refusal would wait for ten seconds
    with gevent.Timeout(5):
        for _ in range(10):
            client = house.client()
            ask(client, "publish", "a?token=wr0ng")
            client.wait_end()
            client.close()


@proves("server.chunk_size")
def test_media_is_sent_in_chunks_of_the_size_that_the_option_says(start: Start) -> None:
    house = start(server={"chunk_size_bytes": 777})
    client = house.client()
    client.connect()
    assert client.peer.reader.chunk_size == 777


@proves("server.backlog")
def test_a_listener_has_the_backlog_that_the_option_says(start: Start) -> None:
    house = start(server={"backlog": 7})
    inodes = {os.readlink(f"/proc/self/fd/{fd}"): int(fd) for fd in os.listdir("/proc/self/fd") if exists(fd)}
    fields = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    (inode,) = (f[9] for f in fields if f[3] == "0A" and int(f[1].partition(":")[2], 16) == house.address.port)
    with socket.socket(fileno=os.dup(inodes[f"socket:[{inode}]"])) as listener:
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    assert struct.unpack_from("I", info, 28) == (7,)  # tcpi_sacked, which is the bound of the backlog in this state


def exists(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")
