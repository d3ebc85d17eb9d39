"""What is measured. Each trial gets a rig with a fresh server and returns its figures by name.

A figure that is named in ``PROBLEMS`` has to be 0; everything else is only reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from .audience import Audience, Figures, percentile_ms
from .client import Client, Role
from .monitor import PUBLISHERS, flat_out, in_real_time
from .process import server_has_closed
from .publisher import GIVE_UP_S, Publisher
from .rig import INFLIGHT, Rig, Used
from .servers import RTMPD, Contender
from .streams import HOOKED_STREAMS, Size, hook_cost, live

MAXRATE_PLAYERS = 10
MAXRATE_AHEAD = 128
FLAT_OUT_BYTES = 10_416
CHURN_PER_S = 100
CHURN_CLOSE_S = 0.05
SLOW_RECEIVE_BUFFER_BYTES = 4096
SLOW_TIMEOUT_S = 45.0

PROBLEMS = ("lost", "duplicated", "reordered", "corrupt", "wrong timestamp", "without header", "miscounted", "failed")


@dataclass(frozen=True, slots=True)
class Options:
    """How large and how long."""

    seconds: float = 4.0
    players: int = 200
    idle_players: int = 2000
    size: Size = field(default_factory=lambda: Size(1, 1))


@dataclass(frozen=True, slots=True)
class Trial:
    """``columns`` are the figures shown, ``compared`` those of them whose ratio to nginx is shown too.
    ``policies`` says whether every flush policy is tried, ``contenders`` who takes part instead of the usual ones,
    ``subject`` what is compared."""

    name: str
    title: str
    run: Callable[[Rig, Options], Figures]
    columns: tuple[str, ...]
    compared: tuple[str, ...]
    policies: bool = False
    contenders: tuple[Contender, ...] = ()
    subject: str = "server"


def _generator(used: Used) -> Figures:
    return {"generator cores": used.generator_cores}


# --- media ----------------------------------------------------------------------------------------


def _gather(rig: Rig, players: int, sample: int = 20) -> tuple[Publisher, Audience]:
    """A publisher that has fallen silent, and players that have had media of it."""
    publisher = rig.publisher()
    audience = Audience(rig, players, sample)
    publisher.start()
    audience.join()
    publisher.start()
    audience.wait_for_media()
    publisher.stop()
    rig.settle(audience.players)
    return publisher, audience


def _send_window(rig: Rig, publisher: Publisher, audience: Audience, seconds: float) -> tuple[Used, Used]:
    """Send in real time for a while: what the sending used, and what all of it used with its echo."""
    audience.restart(publisher.sequence)
    used = rig.meter()
    publisher.start()
    rig.loop.run_for(seconds)
    sending = used()
    publisher.stop()
    rig.settle(audience.players)
    return sending, used()


def fanout(rig: Rig, options: Options) -> Figures:
    """One publisher in real time and its players."""
    publisher, audience = _gather(rig, options.players)
    first = publisher.sequence
    sending, whole = _send_window(rig, publisher, audience, options.seconds)
    sent = publisher.sequence - first
    return {
        "sent": sent,
        "verified": audience.verified_messages(),
        "messages/CPU-s": sent * options.players / whole.server_cpu_s,
        "MB/CPU-s": audience.delivered_bytes() / 1e6 / whole.server_cpu_s,
        "cores": sending.server_cores,
        "RSS MB": rig.resident_kb() / 1024,
        **audience.latency(),
        **audience.faults(publisher.sequence),
        **_generator(sending),
        "generator late ms": publisher.late_s * 1000,
    }


def ingest(rig: Rig, options: Options) -> Figures:
    """One publisher flat out, nobody plays."""
    publisher = rig.publisher()
    publisher.start_flat_out(FLAT_OUT_BYTES)
    publisher.pump_for(options.seconds / 4)
    used, sent = rig.meter(), publisher.sent_bytes
    publisher.pump_for(options.seconds)
    spent = used()
    sent_mb = (publisher.sent_bytes - sent) / 1e6
    return {
        "MB/CPU-s": sent_mb / spent.server_cpu_s,
        "MB/s": sent_mb / spent.wall_s,
        "cores": spent.server_cores,
        "failed": float(bool(publisher.client.failure)),
        **_generator(spent),
    }


def streams(rig: Rig, options: Options) -> Figures:
    """Many streams in real time, each with its players, or with none."""
    return live(rig, options.size, options.seconds)


def hooked(rig: Rig, options: Options) -> Figures:
    """Many streams with and without a webhook: longer, as there is less to measure."""
    return hook_cost(rig, 3 * options.seconds)


def monitor(rig: Rig, options: Options) -> Figures:
    """The quality monitor on and off, flat out."""
    return flat_out(rig, options.seconds)


def monitor_live(rig: Rig, options: Options) -> Figures:
    """The quality monitor on and off, in real time: longer, as there is less to measure."""
    return in_real_time(rig, 3 * options.seconds)


def maxrate(rig: Rig, options: Options) -> Figures:
    """Ten players, as fast as the slowest of them takes it: at most MAXRATE_AHEAD messages ahead."""
    publisher, audience = _gather(rig, MAXRATE_PLAYERS, sample=1)
    first = publisher.sequence
    audience.restart(first)
    used = rig.meter()

    def allowed() -> int:
        return MAXRATE_AHEAD - (publisher.sequence - first - audience.slowest_messages(FLAT_OUT_BYTES))

    publisher.start_flat_out(FLAT_OUT_BYTES, allowed)
    publisher.pump_for(options.seconds)
    sending = used()
    publisher.stop()
    rig.settle(audience.players)
    spent = used()
    delivered_mb = audience.delivered_bytes() / 1e6
    return {
        "MB/CPU-s": delivered_mb / spent.server_cpu_s,
        "messages/CPU-s": (publisher.sequence - first) * MAXRATE_PLAYERS / spent.server_cpu_s,
        "MB/s": delivered_mb / sending.wall_s,
        "cores": sending.server_cores,
        **audience.faults(publisher.sequence),
        **_generator(sending),
    }


def slow(rig: Rig, options: Options) -> Figures:
    """Players with and without one among them that never reads."""
    publisher, audience = _gather(rig, options.players)
    _send_window(rig, publisher, audience, options.seconds)
    without, before_kb = audience.latency(), rig.resident_kb()
    sleeper = rig.client(Role.PLAY)
    sleeper.open(SLOW_RECEIVE_BUFFER_BYTES)
    rig.wait(lambda: sleeper.ready, "play")
    client_port = sleeper.sock.getsockname()[1]
    sleeper.stop_reading()
    rig.settle(audience.players)
    audience.restart(publisher.sequence)
    started, peak_kb, used = time.monotonic(), before_kb, rig.meter()
    publisher.start()
    dropped = False
    while not dropped and time.monotonic() - started < SLOW_TIMEOUT_S:
        rig.loop.run_for(1.0)
        peak_kb = max(peak_kb, rig.resident_kb())
        dropped = server_has_closed(rig.server.port, client_port)
    spent = used()
    publisher.stop()
    rig.settle(audience.players)
    together = audience.latency()
    return {
        "video p99 ms without": without["video p99 ms"],
        "video p99 ms with": together["video p99 ms"],
        "dropped": float(dropped),
        "after s": time.monotonic() - started if dropped else 0.0,
        "RSS growth MB": (peak_kb - before_kb) / 1024,
        "cores": spent.server_cores,
        **audience.faults(publisher.sequence),
        **_generator(spent),
        "generator late ms": publisher.late_s * 1000,
    }


# --- sessions -------------------------------------------------------------------------------------


def idle(rig: Rig, options: Options) -> Figures:
    """Players of a live stream that is silent: what they cost in memory, and what it cost to set them up."""
    rig.publisher()
    players = [rig.client(Role.PLAY) for _ in range(options.idle_players)]
    before_kb, used = rig.resident_kb(), rig.meter()
    rig.open_all(players)
    spent = used()
    rest_s = min(1.0, options.seconds)
    rig.loop.run_for(rest_s)
    resting = rig.meter()
    rig.loop.run_for(rest_s)
    return {
        "RSS KB/session": (rig.resident_kb() - before_kb) / options.idle_players,
        "sessions/CPU-s": options.idle_players / spent.server_cpu_s,
        "sessions/s": options.idle_players / spent.wall_s,
        "set-up p50 ms": percentile_ms([player.setup_ns for player in players], 0.5),
        "idle cores": resting().server_cores,
        "failed": float(sum(bool(player.failure) for player in players)),
        **_generator(spent),
    }


class _Turnover:
    """Sessions that come and go: counts them and keeps their set-up times."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.setup_ns: list[int] = []
        self.opened = 0
        self.failed = 0

    def open(self, role: Role, stream: str, then: Callable[[Client], None]) -> None:
        client = self._rig.client(role, stream)
        self.opened += 1

        def ready(client: Client) -> None:
            self.setup_ns.append(client.setup_ns)
            then(client)

        client.on_ready, client.on_closed = ready, self._closed
        client.open()

    def _closed(self, client: Client) -> None:
        self._rig.drop(client)
        self.failed += not client.ready

    def wait_for_all(self) -> None:
        """Until each has become ready or has failed."""
        self._rig.wait(lambda: len(self.setup_ns) + self.failed >= self.opened, "sessions", GIVE_UP_S)

    def figures(self, spent: Used) -> Figures:
        return {
            "CPU ms/session": spent.server_cpu_s * 1000 / max(1, self.opened),
            "sessions/CPU-s": self.opened / max(1e-9, spent.server_cpu_s),
            "sessions/s": self.opened / spent.wall_s,
            "set-up p50 ms": percentile_ms(self.setup_ns, 0.5),
            "set-up p99 ms": percentile_ms(self.setup_ns, 0.99),
            "cores": spent.server_cores,
            "failed": float(self.failed),
            **_generator(spent),
        }


def churn(rig: Rig, options: Options) -> Figures:
    """Publish sessions at a fixed rate: connect, publish, headers and a key frame, unpublish, close."""
    turnover = _Turnover(rig)

    def published(client: Client) -> None:
        Publisher(rig.loop, client, rig.profile).send_key_frame()
        client.end_stream()
        rig.loop.call_at(time.monotonic() + CHURN_CLOSE_S, lambda: rig.drop(client))

    return _at_fixed_rate(rig, turnover, options, lambda number: (Role.PUBLISH, f"churn{number}", published))


def churn_play(rig: Rig, options: Options) -> Figures:
    """Play sessions of a live stream at a fixed rate: connect, play, stop, close."""
    turnover = _Turnover(rig)
    rig.publisher().start()

    def plays(client: Client) -> None:
        client.end_stream()
        rig.loop.call_at(time.monotonic(), lambda: rig.drop(client))

    return _at_fixed_rate(rig, turnover, options, lambda number: (Role.PLAY, "bench", plays))


_Session = tuple[Role, str, Callable[[Client], None]]


def _at_fixed_rate(rig: Rig, turnover: _Turnover, options: Options, session: Callable[[int], _Session]) -> Figures:
    count = int(CHURN_PER_S * options.seconds)
    used = rig.meter()
    started = time.monotonic()
    for number in range(count):
        rig.loop.call_at(started + number / CHURN_PER_S, partial(turnover.open, *session(number)))
    rig.wait(lambda: turnover.opened == count, "sessions")
    turnover.wait_for_all()
    rig.loop.run_for(2 * CHURN_CLOSE_S)
    return turnover.figures(used())


def handshakes(rig: Rig, options: Options) -> Figures:
    """Handshake and connect, then close, as many as the server takes with INFLIGHT under way."""
    turnover = _Turnover(rig)
    deadline = time.monotonic() + options.seconds

    def open_next(done: Client | None = None) -> None:
        if done is not None:
            rig.drop(done)
        if time.monotonic() < deadline:
            turnover.open(Role.CONNECT, "", open_next)

    used = rig.meter()
    for _ in range(INFLIGHT):
        open_next()
    rig.wait(lambda: time.monotonic() >= deadline, "sessions", options.seconds + GIVE_UP_S)
    turnover.wait_for_all()
    return turnover.figures(used())


FANOUT_COLUMNS = (
    "messages/CPU-s", "MB/CPU-s", "cores", "video p50 ms", "video p99 ms", "audio p50 ms", "audio p99 ms", "RSS MB",
    "generator cores", "generator late ms",
)  # fmt: skip
SESSION_COLUMNS = ("set-up p50 ms", "set-up p99 ms", "sessions/s", "generator cores")
MONITOR_COLUMNS = ("CPU ms/media s", "CPU ms/media s, off", "cost %", "generator cores")
SLOW_COLUMNS = (
    "video p99 ms without", "video p99 ms with", "dropped", "after s", "RSS growth MB", "generator cores",
    "generator late ms",
)  # fmt: skip

TRIALS = {
    trial.name: trial
    for trial in (
        Trial("fanout", "fan-out", fanout, FANOUT_COLUMNS, ("messages/CPU-s", "video p99 ms"), policies=True),
        Trial(
            "live",
            "streams in real time",
            streams,
            FANOUT_COLUMNS,
            ("messages/CPU-s", "video p99 ms"),
        ),
        Trial(
            "publishers",
            "publishers in real time, nobody plays",
            streams,
            ("MB/CPU-s", "cores", "RSS MB", "generator cores", "generator late ms"),
            ("MB/CPU-s",),
        ),
        Trial(
            "ingest",
            "one stream flat out, no player",
            ingest,
            ("MB/CPU-s", "MB/s", "cores", "generator cores"),
            ("MB/CPU-s",),
        ),
        Trial(
            "monitor",
            "the quality monitor on and off, a usual stream flat out",
            monitor,
            MONITOR_COLUMNS,
            (),
            contenders=(RTMPD,),
        ),
        Trial(
            "monitor-live",
            f"the quality monitor on and off, {PUBLISHERS} usual streams in real time",
            monitor_live,
            MONITOR_COLUMNS,
            (),
            contenders=(RTMPD,),
        ),
        Trial(
            "maxrate",
            f"flat out to {MAXRATE_PLAYERS} players",
            maxrate,
            ("MB/CPU-s", "messages/CPU-s", "MB/s", "cores", "generator cores"),
            ("MB/CPU-s",),
        ),
        Trial(
            "churn",
            f"{CHURN_PER_S} publish sessions/s",
            churn,
            ("CPU ms/session", *SESSION_COLUMNS),
            ("CPU ms/session", "set-up p50 ms"),
        ),
        Trial(
            "churn-play",
            f"{CHURN_PER_S} play sessions/s of a live stream",
            churn_play,
            ("CPU ms/session", *SESSION_COLUMNS),
            ("CPU ms/session", "set-up p50 ms"),
        ),
        Trial(
            "hooked",
            f"{HOOKED_STREAMS} streams with a player each, without a hook and with a webhook that gets every event",
            hooked,
            ("CPU ms/s", "CPU ms/s, hooked", "cost %", "generator cores"),
            (),
            contenders=(RTMPD,),
        ),
        Trial(
            "handshakes",
            f"handshake and connect, {INFLIGHT} at a time",
            handshakes,
            ("sessions/CPU-s", *SESSION_COLUMNS),
            ("sessions/CPU-s",),
        ),
        Trial(
            "idle",
            "players of a silent live stream",
            idle,
            ("RSS KB/session", "sessions/CPU-s", "sessions/s", "set-up p50 ms", "idle cores", "generator cores"),
            ("RSS KB/session", "sessions/CPU-s"),
        ),
        Trial("slow", "one player never reads", slow, SLOW_COLUMNS, ("video p99 ms with",)),
    )
}

#: What can be asked for together, by name.
SETS = {"streams": ("live", "publishers", "idle", "churn", "churn-play", "hooked")}
