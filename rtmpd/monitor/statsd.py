"""Sends the metrics to StatsD: the increase of counters since the last report, the values of gauges, and timings.

::

    registry --read--> Payload --pipeline--> one datagram after another, or one TCP connection

A greenlet sends at a fixed interval, and nothing else waits for it. If the address cannot be resolved or reached, that
is logged (throttled), and the next report includes the missed increases.

UDP is not acknowledged, but a host without a listener refuses it (ICMP). IPv4 is tried first, because StatsD listens on
it by default. The socket is connected, so that a refusal becomes an error; then the next address of the name is used,
and the counters are sent again.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping

import gevent
from gevent import Greenlet
from statsd.client.base import StatsClientBase
from statsd.client.stream import StreamClientBase
from statsd.client.udp import Pipeline

from ..clock import Clock
from ..metrics.kind import COUNTER, Metric
from ..metrics.registry import Distribution, Labels, Log, Registry
from ..net.outgoing import Endpoint, Outgoing, within
from ..settings import MetricsSettings

_TIMEOUT_S = 5.0
_LAST_PUSH_S = 1.0
_RESOLVE_AGAIN_S = 300.0
_ELEMENT_CHARS = 80
_NOT_IN_A_PATH = re.compile(r"[^A-Za-z0-9_-]")


def element(text: str) -> str:
    """Return ``text`` as one element of a path: letters, digits, ``_`` and ``-``, never empty, bounded in length."""
    return _NOT_IN_A_PATH.sub("_", text)[:_ELEMENT_CHARS] or "_"


def path_of(metric: Metric, labels: Labels) -> str:
    """Return the StatsD path of this value without the prefix."""
    if not labels:
        return metric.path
    return metric.path.format_map({name: element(value) for name, value in zip(metric.labels, labels, strict=True)})


def prefix_of(settings: MetricsSettings, hostname: str) -> str:
    """Return the prefix of every path, including the host. ``hostname`` replaces ``auto``."""
    host = hostname if settings.statsd_host == "auto" else settings.statsd_host
    parts = [*settings.statsd_prefix.split("."), host]
    return ".".join(element(part) for part in parts if part)


class Payload:
    """The content of one report, by path. ``totals`` are its counters, ``sent`` those of the last report."""

    __slots__ = ("added", "gauges", "timings_ms", "totals")

    def __init__(self, registry: Registry, sent: Mapping[str, float]) -> None:
        self.totals: dict[str, float] = {}
        self.added: dict[str, float] = {}
        self.gauges: dict[str, float] = {}
        self.timings_ms: dict[str, list[float]] = {}
        for metric, readings in registry.read():
            values = self.totals if metric.kind == COUNTER else self.gauges
            for reading in readings:
                if metric.path and not isinstance(reading.value, Distribution):
                    path = path_of(metric, reading.labels)
                    values[path] = values.get(path, 0) + reading.value
        for path, total in self.totals.items():
            added = _added(total, sent.get(path, 0))
            if added or path not in sent:  # an initial 0 creates the series that graphs expect
                self.added[path] = added
        for histogram in registry.histograms.values():
            for labels, samples in histogram.take_samples().items():
                path = path_of(histogram.metric, labels)
                self.timings_ms.setdefault(path, []).extend(seconds * 1000 for seconds in samples)


def _added(total: float, before: float) -> float:
    """Return the increase. A total that is smaller than before was reset, for example with a replaced hook."""
    added = total - before if total >= before else total
    return round(added, 6)


def totals(registry: Registry) -> Mapping[str, float]:
    """Return the values of the counters, by path."""
    return Payload(registry, {}).totals


class _Udp(StatsClientBase):  # type: ignore[misc]  # the library has no annotations
    """StatsD at one address. Raises ConnectionRefusedError if nothing listens there, as soon as that is known."""

    def __init__(self, endpoint: Endpoint, prefix: str, packet_bytes: int) -> None:
        self._prefix = prefix
        self._maxudpsize = packet_bytes
        self._sock = socket.socket(endpoint.family, socket.SOCK_DGRAM)
        try:
            self._sock.connect(endpoint.sockaddr)
        except OSError:
            self._sock.close()
            raise

    def pipeline(self) -> Pipeline:
        return Pipeline(self)

    def check(self) -> None:
        """Raises OSError if the last datagram was refused."""
        if number := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))

    def _send(self, data: str) -> None:
        self._sock.send(data.encode("ascii"))

    def close(self) -> None:
        self._sock.close()


class _Tcp(StreamClientBase):  # type: ignore[misc]
    """StatsD over one TCP connection, until it fails."""

    def __init__(self, sock: socket.socket, prefix: str) -> None:
        self._sock = sock
        self._prefix = prefix

    def connect(self) -> None:
        raise ConnectionError("the connection to StatsD has ended")


class StatsdPusher:
    """Sends the metrics of ``registry`` every ``statsd_interval_s``. ``start`` and ``stop`` once each. The first report
    has the increases since the totals ``sent``."""

    def __init__(
        self,
        settings: MetricsSettings,
        registry: Registry,
        clock: Clock,
        log: Log,
        hostname: str | None = None,
        sent: Mapping[str, float] | None = None,
    ) -> None:
        assert settings.statsd is not None
        self._address = settings.statsd
        self._settings = settings
        self._registry = registry
        self._clock = clock
        self._log = log
        self._prefix = prefix_of(settings, hostname or socket.gethostname())
        self._flushes = registry.counter("rtmp_statsd_flushes_total")
        self._way = Outgoing(clock, 1)
        self._client: _Udp | _Tcp | None = None
        self._resolved_at = 0.0
        self._refusals = 0
        self.sent = sent or {}
        self._sent_before = self.sent
        self._greenlet: Greenlet[[], None] | None = None

    def start(self) -> None:
        """Start to send."""
        for histogram in self._registry.histograms.values():
            histogram.keeps_samples = True
        self._greenlet = Greenlet(self._run)
        self._greenlet.name = "statsd"
        self._greenlet.start()

    def stop(self) -> None:
        """Send a last report, within a second, and stop. May switch."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
            self._forget_client()  # a TCP connection in the middle of a line is useless
            gevent.with_timeout(_LAST_PUSH_S, self.push, timeout_value=False)
        self._forget_client()
        for histogram in self._registry.histograms.values():
            histogram.keeps_samples = False
            histogram.take_samples()

    def _run(self) -> None:
        while True:
            gevent.sleep(self._settings.statsd_interval_s)
            try:
                self.push()
            except Exception:  # noqa: BLE001  a bug here must not end the greenlet, and with it all metrics
                self._log.exception("metrics could not be sent", statsd=self._address)

    def push(self) -> bool:
        """Send one report. Returns False on failure: then the next report includes its increases, and its timings are
        lost. May switch."""
        self._look_back()
        payload = Payload(self._registry, self.sent)
        try:
            self._send(payload)
        except OSError as error:
            self._failed(error)
            return False
        self._sent_before, self.sent = self.sent, payload.totals
        self._flushes.add("ok")
        return True

    def _look_back(self) -> None:
        """Mark the last report as not sent if it was refused."""
        if isinstance(self._client, _Udp):
            try:
                self._client.check()
            except OSError as error:
                self.sent = self._sent_before
                self._failed(error)

    def _failed(self, error: OSError) -> None:
        self._forget_client()
        self._flushes.add("failed")
        if isinstance(error, ConnectionRefusedError):
            self._refusals += 1
        protocol = self._settings.statsd_protocol
        self._log.warning("metrics not sent", statsd=self._address, protocol=protocol, error=error.strerror or error)

    def _send(self, payload: Payload) -> None:
        with self._connected().pipeline() as pipe:
            for path, added in payload.added.items():
                pipe.incr(path, added)
            for path, value in payload.gauges.items():
                pipe.gauge(path, value if isinstance(value, int) else round(value, 6))
            for path, timings_ms in payload.timings_ms.items():
                for each in timings_ms:
                    pipe.timing(path, each)

    def _connected(self) -> _Udp | _Tcp:
        """Return the client. Creates the first one and, for UDP, a new one when the name may have another address."""
        now = self._clock.monotonic()
        if isinstance(self._client, _Udp) and now - self._resolved_at > _RESOLVE_AGAIN_S:
            self._forget_client()
        if self._client is None:
            host, port = self._address.host or "127.0.0.1", self._address.port
            self._resolved_at = now
            if self._settings.statsd_protocol == "tcp":
                connected, _ = within(_TIMEOUT_S, lambda: self._way.connect(host, port))
                sock = socket.socket(fileno=connected.detach())
                sock.settimeout(_TIMEOUT_S)
                self._client = _Tcp(sock, self._prefix)
            else:
                endpoints = within(_TIMEOUT_S, lambda: self._way.resolve(host, port))
                endpoints.sort(key=lambda endpoint: endpoint.family != socket.AF_INET)
                endpoint = endpoints[self._refusals % len(endpoints)]
                self._client = _Udp(endpoint, self._prefix, self._settings.statsd_packet_bytes)
        return self._client

    def _forget_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
