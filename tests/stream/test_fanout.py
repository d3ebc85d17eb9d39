"""The send loop: one encoding for all, and nobody's trouble is another's."""

from __future__ import annotations

from rtmpd.protocol.chunk import encode
from rtmpd.protocol.message import Message
from rtmpd.stream.fanout import Group
from rtmpd.stream.gop import GopCache
from tests.support.streams import Player, Rig, add, audio, inter, key, send


def wire(payload: bytes, timestamp: int, msid: int = 1, chunk_size: int = 128) -> bytes:
    csid, type_id = (6, 8) if payload[0] == 0xAF else (7, 9)
    return encode(csid, Message(type_id, payload, timestamp, msid), chunk_size)


def test_every_player_is_sent_the_same_bytes_object() -> None:
    rig = Rig()
    stream = rig.publish()
    players = [rig.join()[1] for _ in range(3)]
    send(stream, key(b"x" * 300), 0)
    first, *others = (player.outlet.sends for player in players)
    assert first[0] == wire(key(b"x" * 300), 0)
    assert all(each[0] is first[0] for each in others)


def test_players_with_another_chunk_size_or_message_stream_get_their_own_bytes() -> None:
    rig = Rig()
    stream = rig.publish()
    _, plain = rig.join()
    _, large = rig.join(chunk_size=4096)
    _, second = rig.join(msid=2)
    send(stream, key(b"x" * 300), 9)
    assert bytes(plain.outlet.taken) == wire(key(b"x" * 300), 9)
    assert bytes(large.outlet.taken) == wire(key(b"x" * 300), 9, 1, 4096)
    assert bytes(second.outlet.taken) == wire(key(b"x" * 300), 9, 2)


def test_what_one_read_brought_is_one_send() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join()
    add(stream, key(), 0)
    add(stream, audio(), 5)
    add(stream, inter(), 20)
    assert not player.outlet.sends
    stream.idle()
    assert player.outlet.sends == [wire(key(), 0) + wire(audio(), 5) + wire(inter(), 20)]


def test_a_blocked_and_a_broken_player_change_nothing_for_the_others() -> None:
    rig = Rig()
    stream = rig.publish()
    players = [rig.join()[1] for _ in range(5)]
    players[1].outlet.room = 7
    players[3].outlet.error = ConnectionResetError(104, "reset")
    players[2].outlet.room = 0
    for number in range(10):
        send(stream, key(bytes([number])), number)
    expected = b"".join(wire(key(bytes([number])), number) for number in range(10))
    assert bytes(players[0].outlet.taken) == bytes(players[4].outlet.taken) == expected
    assert len(players[3].outlet.sends) == 1 and len(players[3].outlet.failures) == 1
    assert players[3].outlet.failures[0][0] == "ECONNRESET"
    for slow in players[1:3]:
        slow.outlet.take(None)
        assert bytes(slow.outlet.taken) == expected


def test_a_partial_send_finishes_the_frame_that_was_begun() -> None:
    for room in range(1, 3 * len(wire(key(b"abc"), 0))):
        rig = Rig()
        stream = rig.publish()
        _, player = rig.join(room)
        for number in range(3):
            add(stream, key(b"abc"), number)
        stream.idle()
        size = len(wire(key(b"abc"), 0))
        assert len(player.outlet.taken) == room
        assert len(player.outlet.queue) == size - room % size, "no more is committed than the frame that was begun"
        player.outlet.take(None)
        assert player.times == [0, 1, 2]


def test_a_player_that_has_caught_up_is_sent_to_directly_again() -> None:
    rig = Rig()
    stream = rig.publish()
    (_, slow), (_, other) = rig.join(10), rig.join()
    send(stream, key(), 0)
    slow.outlet.take(None)
    send(stream, inter(), 20)
    assert slow.outlet.sends[-1] is other.outlet.sends[-1]
    assert slow.subscriber.backlog_frames == 0


def test_the_group_keeps_its_two_lists_in_step() -> None:
    group = Group(128, 1, 7, GopCache(True, 1, 1))
    members = [Player(None, 1, 1, 1, 128).subscriber for _ in range(4)]
    for member in members:
        group.behind.append(member)
        group.promote(member)
    assert len(group) == 4 and not group.behind
    group.demote(members[1])
    group.demote(members[1])
    assert group.behind == [members[1]] and len(group) == 4
    group.remove(members[2])
    group.remove(members[1])
    group.remove(members[1])
    assert group.caught_up == [members[0], members[3]] and not group.behind
    group.remove(members[0])
    group.remove(members[3])
    assert not group


def test_a_broken_player_is_out_of_the_loop_and_may_leave() -> None:
    rig = Rig()
    stream, player = rig.publish(), rig.join()[1]
    player.outlet.error = BrokenPipeError(32, "broken pipe")
    send(stream, key(), 0)
    send(stream, inter(), 1)
    assert len(player.outlet.sends) == 1
    assert player.subscriber.bytes_sent == 0
    stream.detach(player.subscriber)
    assert not stream.subscribers and not player.outlet.listeners
