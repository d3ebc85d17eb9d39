"""The metrics of the server, read from counters that it keeps anyway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from ..metrics.registry import Reading
from ..settings import MetricsSettings
from ..stream.stream import Stream
from .context import Context


class ServerMetrics:
    """Reads ``context``. Costs a fraction of a microsecond per stream, and nothing per connection."""

    def __init__(self, context: Context, settings: MetricsSettings) -> None:
        self._context = context
        self.settings = settings

    def read(self) -> Iterator[Reading]:
        """Yield every metric of the server, its applications and, if enabled, its streams."""
        streams = list(self._context.registry)
        yield from self._server(streams)
        yield from self._apps(streams)
        if self.settings.per_stream:
            yield from self._streams(streams)

    def _server(self, streams: list[Stream]) -> Iterator[Reading]:
        context, traffic, load = self._context, self._context.traffic, self._context.registry.load
        yield Reading("rtmp_connections", len(context.connections))
        yield Reading("rtmp_publishers", sum(1 for stream in streams if stream.publisher is not None))
        yield Reading("rtmp_players", sum(stream.players for stream in streams))
        yield Reading("rtmp_streams", len(streams))
        yield Reading("rtmp_connections_accepted_total", context.connections_made)
        yield Reading("rtmp_received_bytes_total", traffic.total.received)
        yield Reading("rtmp_sent_bytes_total", traffic.total.sent)
        yield Reading("rtmp_ingest_bytes_per_second", traffic.ingest_bps)
        yield Reading("rtmp_egress_bytes_per_second", traffic.egress_bps)
        yield Reading("rtmp_frames_dropped_total", traffic.total.dropped)
        yield Reading("rtmp_queued_frames", traffic.queue_depth)
        yield Reading("rtmp_sending_ratio", load.busy)
        yield Reading("rtmp_message_delay_max_seconds", load.peak.value())

    def _apps(self, streams: list[Stream]) -> Iterator[Reading]:
        traffic = self._context.traffic
        publishers, players = Counter[str](), Counter[str]()
        for stream in streams:
            app = traffic.slot(stream.app)
            publishers[app] += stream.publisher is not None
            players[app] += stream.players
        for app, flow in traffic.apps.items():
            label = (app,)
            yield Reading("rtmp_app_connections", traffic.connections[app], label)
            yield Reading("rtmp_app_publishers", publishers[app], label)
            yield Reading("rtmp_app_players", players[app], label)
            yield Reading("rtmp_app_received_bytes_total", flow.received, label)
            yield Reading("rtmp_app_sent_bytes_total", flow.sent, label)
            yield Reading("rtmp_app_frames_dropped_total", flow.dropped, label)

    def _streams(self, streams: list[Stream]) -> Iterator[Reading]:
        for stream in islice(streams, self.settings.max_streams):
            label = (stream.key,)
            publisher = stream.publisher
            yield Reading("rtmp_stream_live", int(publisher is not None), label)
            yield Reading("rtmp_stream_players", stream.players, label)
            if publisher is not None:
                yield Reading("rtmp_stream_received_bytes_total", publisher.total_bytes, label)
