"""The state of the server at one moment as plain facts, for status pages.

Nothing here switches greenlets, so every answer is of one moment. What grows with the audience is bounded by
the caller or cut: listing ten thousand connections would hold the media up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from .. import __version__, accelerated
from ..identity import joined
from ..settings import Address
from ..stream.stream import Stream
from .context import Context
from .player import Playing
from .publisher import Publishing
from .viewing import Viewing

if TYPE_CHECKING:
    from .connection import Connection

Facts = dict[str, Any]

_MAX_PLAYERS: Final = 1000


def server(context: Context, listen: Sequence[Address]) -> Facts:
    """The server as a whole; ``listen`` are its addresses."""
    streams = list(context.registry)
    return {
        "version": __version__,
        "accelerated": accelerated(),
        "pid": os.getpid(),
        "uptime_s": round(context.clock.monotonic() - context.started_at, 3),
        "listen": [f"{'rtmps' if address.tls else 'rtmp'}://{address}" for address in listen],
        "draining": context.draining,
        "connections": len(context.connections),
        "streams": len(streams),
        "publishers": sum(1 for stream in streams if stream.publisher is not None),
        "players": sum(stream.players for stream in streams),
    }


def connections(context: Context, after: str, limit: int) -> tuple[list[Facts], int, str]:
    """Up to ``limit`` connections, oldest first, that came after the one with the id ``after`` ("": from the
    beginning), how many there are in all, and the id to go on after, "" at the end."""
    rest = [conn_id for conn_id in context.connections if _number(conn_id) > _number(after)]
    chosen = rest[:limit]
    now = context.clock.monotonic()
    facts = [connection(context.connections[conn_id], now) for conn_id in chosen]
    return facts, len(context.connections), chosen[-1] if len(rest) > limit else ""


def _number(conn_id: str) -> int:
    digits = conn_id[1:]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else 0


def connection(connection: Connection, now: float) -> Facts:
    """One connection at the monotonic time ``now``."""
    peer = connection.peer
    return {
        "conn_id": connection.conn_id,
        "address": connection.address,
        "port": connection.port,
        "app": connection.app,
        "role": connection.activity.role,
        "stream_key": connection.activity.stream_key,
        "phase": connection.phase,
        "flash_ver": connection.flash_ver,
        "tls": bool(peer.transport.tls_version),
        "age_s": round(now - connection.accepted_at, 3),
        "bytes_received": peer.bytes_received,
        "bytes_sent": connection.bytes_sent,
        "backlogged": bool(peer.writer.busy),
    }


def streams(context: Context, after: str, limit: int) -> tuple[list[Facts], int, str]:
    """Up to ``limit`` streams in the order of their keys, after the key ``after``, how many there are in all, and
    the key to go on after, "" at the end."""
    rest = sorted((stream for stream in context.registry if stream.key > after), key=lambda stream: stream.key)
    now = context.clock.monotonic()
    facts = [stream_facts(stream, now) for stream in rest[:limit]]
    return facts, len(context.registry), facts[-1]["key"] if len(rest) > limit else ""


def stream_facts(stream: Stream, now: float) -> Facts:
    """One stream with its publisher at the monotonic time ``now``."""
    publisher = stream.publisher
    return {
        "key": stream.key,
        "app": stream.app,
        "name": stream.name,
        "live": stream.live,
        "age_s": round(now - stream.created_at, 3),
        "players": stream.players,
        "publisher": publisher.facts(now) if isinstance(publisher, Publishing) else None,
    }


def stream_whole(context: Context, key: str) -> Facts:
    """One stream with its publisher and its first players. Raises KeyError."""
    stream = _stream(context, key)
    now = context.clock.monotonic()
    watchers = chain((one.watcher for one in stream.subscribers), stream.viewers)
    players = (one for one in watchers if isinstance(one, (Playing, Viewing)))
    return {**stream_facts(stream, now), "playing": [one.facts(now) for one in islice(players, _MAX_PLAYERS)]}


def kick(context: Context, conn_id: str) -> list[str]:
    """End a connection; its id. Raises KeyError."""
    client = context.viewers.get(conn_id) or context.pulls.get(conn_id) or context.connections[conn_id]
    client.end("kicked")
    return [conn_id]


def kick_stream(context: Context, key: str, role: str) -> list[str]:
    """End the connections of a stream: those of its ``publisher``, its ``players`` or ``all``; their ids.
    Raises KeyError."""
    stream = _stream(context, key)
    ids: list[str] = []
    if role != "players" and stream.publisher is not None:
        ids.append(stream.publisher.conn_id)
    if role != "publisher":
        ids += [one.watcher.conn_id for one in stream.subscribers if isinstance(one.watcher, Playing)]
        ids += [one.conn_id for one in stream.viewers if isinstance(one, Viewing)]
    known = context.connections.keys() | context.viewers.keys() | context.pulls.keys()
    kicked = [conn_id for conn_id in dict.fromkeys(ids) if conn_id in known]
    for conn_id in kicked:
        kick(context, conn_id)
    return kicked


def _stream(context: Context, key: str) -> Stream:
    stream = context.registry.find(joined(key))
    if stream is None:
        raise KeyError(key)
    return stream
