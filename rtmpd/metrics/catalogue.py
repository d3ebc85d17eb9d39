"""Every metric: its name in Prometheus, its path in StatsD, its labels and its help text.

This is the only table. docs/metrics.md, the dashboards, the storage rules of Graphite and the alert rules of Prometheus
are rendered from it, and the registry refuses any other name. To rename a metric, change it here and in the room that
sets it (see the package). The names of the first group are fixed, because dashboards of go-rtmp use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .kind import Group, Metric, counter, gauge, histogram

_EVENTS = Group("Events and hooks", (
    counter("rtmp_hook_executions_total", "Executions of hooks, retries included",
            "hooks.{hook_type}.{event_type}.{status}", "hook_type", "event_type", "status"),
    histogram("rtmp_hook_execution_duration_seconds", "Duration of one execution of a hook",
              "hooks.{hook_type}.duration", "hook_type", "event_type"),
    counter("rtmp_events_generated_total", "Events emitted, including those without a hook",
            "events.generated.{event_type}", "event_type"),
    counter("rtmp_events_filtered_total", "Events that a hook's filter refused",
            "events.filtered.{filter_type}.{reason}", "filter_type", "reason"),
))  # fmt: skip

_LANES = Group("Delivery, hook by hook", (
    gauge("rtmp_hook_backlog", "Events that wait for the hook", "lanes.{hook_id}.backlog", "hook_id"),
    gauge("rtmp_hook_oldest_age_seconds", "Age of the event that has waited longest for the hook",
          "lanes.{hook_id}.oldest_age", "hook_id"),
    gauge("rtmp_hook_in_flight", "Executions in progress", "lanes.{hook_id}.in_flight", "hook_id"),
    gauge("rtmp_hook_state", "1 for the current state of the hook, 0 for the others",
          "lanes.{hook_id}.state.{state}", "hook_id", "state"),
    counter("rtmp_hook_attempts_total", "Attempts to deliver an event to the hook, by outcome",
            "lanes.{hook_id}.attempts.{outcome}", "hook_id", "outcome"),
    histogram("rtmp_hook_delivery_latency_seconds", "Time from the event to its delivery, waiting and retries included",
              "lanes.{hook_id}.latency", "hook_id"),
    counter("rtmp_hook_retries_total", "Attempts other than the first of their event",
            "lanes.{hook_id}.retries", "hook_id"),
    counter("rtmp_hook_dropped_total", "Events dropped because a queue or the event store was full",
            "lanes.{hook_id}.dropped", "hook_id"),
    counter("rtmp_hook_dead_letters_total", "Events that became dead letters of the hook",
            "lanes.{hook_id}.dead.{reason}", "hook_id", "reason"),
))  # fmt: skip

_HEALTH = Group("Faults and the event store", (
    gauge("rtmp_faults", "Current faults of that kind", "faults.{fault}", "fault"),
    gauge("rtmp_store_up", "1 if the event store can be written and read, 0 if not", "store.up"),
    gauge("rtmp_store_staged_events", "Events that wait in memory for the event store", "store.staged"),
    gauge("rtmp_store_used_bytes", "Bytes used in the event store", "store.used"),
    gauge("rtmp_store_limit_bytes", "Maximum size of the event store in bytes", "store.limit"),
    counter("rtmp_store_commits_total", "Transactions written to the event store", "store.commits"),
))  # fmt: skip

_SERVER = Group("Server", (
    gauge("rtmp_connections", "Connections", "connections"),
    gauge("rtmp_publishers", "Streams that have a publisher", "publishers"),
    gauge("rtmp_players", "Players, including those that wait for a publisher", "players"),
    gauge("rtmp_streams", "Streams, with or without a publisher", "streams"),
    counter("rtmp_config_reloads_total", "Reloads of the configuration, applied or rejected",
            "config_reloads.{result}", "result"),
    counter("rtmp_connections_accepted_total", "Connections since the start", "connections_accepted"),
    counter("rtmp_received_bytes_total", "Bytes received from clients", "bytes_in"),
    counter("rtmp_sent_bytes_total", "Bytes sent to clients", "bytes_out"),
    gauge("rtmp_ingest_bytes_per_second", "Bytes received per second, over the last few seconds", "ingest_rate"),
    gauge("rtmp_egress_bytes_per_second", "Bytes sent per second, over the last few seconds", "egress_rate"),
    counter("rtmp_frames_dropped_total", "Frames dropped for players that were too slow", "frames_dropped"),
    gauge("rtmp_queued_frames", "Frames that wait for players that are behind", "queue_depth"),
    histogram("rtmp_handshake_duration_seconds", "Time from accept to the end of the RTMP handshake", "handshake"),
    gauge("rtmp_sending_ratio", "Share of the event loop's time spent on sending media", "sending"),
    gauge("rtmp_message_delay_max_seconds", "Recent maximum of the time to send one round of media to all players",
          "message_delay_max"),
    histogram("rtmp_hub_lag_seconds", "How late the event loop ran a timer", "hub_lag"),
    gauge("rtmp_hub_lag_max_seconds", "Recent maximum of rtmp_hub_lag_seconds", "hub_lag_max"),
    gauge("rtmp_alert_level", "0 for no alert, 1 for warning, 2 for critical", "alerts.{metric}", "metric"),
))  # fmt: skip

_APPS = Group("Applications", (
    gauge("rtmp_app_connections", "Connections of the application", "apps.{app}.connections", "app"),
    gauge("rtmp_app_publishers", "Streams of the application that have a publisher", "apps.{app}.publishers", "app"),
    gauge("rtmp_app_players", "Players of the application", "apps.{app}.players", "app"),
    counter("rtmp_app_received_bytes_total", "Bytes received in the application", "apps.{app}.bytes_in", "app"),
    counter("rtmp_app_sent_bytes_total", "Bytes sent in the application", "apps.{app}.bytes_out", "app"),
    counter("rtmp_app_frames_dropped_total", "Frames dropped in the application", "apps.{app}.frames_dropped", "app"),
))  # fmt: skip

_STREAMS = Group("Streams (with per_stream = yes)", (
    gauge("rtmp_stream_live", "1 if the stream has a publisher", "stream.{stream_key}.live", "stream_key"),
    gauge("rtmp_stream_players", "Players of the stream", "stream.{stream_key}.players", "stream_key"),
    counter("rtmp_stream_received_bytes_total", "Media of the stream's publisher",
            "stream.{stream_key}.bytes_in", "stream_key"),
))  # fmt: skip

_OUTPUTS = Group("Outputs", (
    gauge("rtmp_recordings", "Streams being recorded", "outputs.recordings"),
    counter("rtmp_recorded_bytes_total", "Bytes written to recordings", "outputs.recorded_bytes"),
    counter("rtmp_recording_failures_total", "Recordings that ended before their stream because of an error",
            "outputs.recording_failures.{reason}", "reason"),
    counter("rtmp_relay_errors_total", "Failed attempts to reach another server, and lost connections",
            "outputs.relay_errors"),
    gauge("rtmp_relays", "Relays, including those that wait for another attempt", "outputs.relays"),
    gauge("rtmp_relays_connected", "Relays that are connected", "outputs.relays_connected"),
    counter("rtmp_relayed_bytes_total", "Bytes of media sent to other servers", "outputs.relayed_bytes"),
))  # fmt: skip

_PROCESS = Group("Process", (
    counter("process_cpu_seconds_total", "CPU time of the process", "process.cpu_seconds"),
    gauge("rtmp_process_cpu_percent", "CPU of the process in percent of one processor", "process.cpu_percent"),
    gauge("rtmp_machine_cpu_percent", "CPU of the machine in percent of all its processors", "process.machine_cpu"),
    gauge("process_resident_memory_bytes", "Resident memory of the process", "process.memory"),
    gauge("rtmp_process_memory_percent", "Resident memory of the process in percent of its limit",
          "process.memory_percent"),
    gauge("process_open_fds", "Open file descriptors", "process.open_fds"),
    gauge("process_max_fds", "Maximum number of open file descriptors", "process.max_fds"),
    gauge("process_threads", "Threads", "process.threads"),
    gauge("process_start_time_seconds", "Unix time at which the process started", ""),
    counter("python_gc_collections_total", "Runs of the garbage collector", "process.gc.{generation}", "generation"),
    counter("python_gc_objects_collected_total", "Objects that the garbage collector freed", "", "generation"),
    gauge("rtmp_build_info", "1, with the version as its label", "", "version"),
    counter("rtmp_statsd_flushes_total", "Attempts to send the metrics to StatsD", "", "result"),
    counter("rtmp_metrics_failures_total", "Metric collections that failed because of a bug in rtmpd", ""),
))  # fmt: skip

GROUPS = (_EVENTS, _LANES, _HEALTH, _SERVER, _APPS, _STREAMS, _OUTPUTS, _PROCESS)

#: Every metric by its name, in the order of the documentation.
METRICS: Mapping[str, Metric] = MappingProxyType(
    {metric.name: metric for group in GROUPS for metric in group.metrics}
)
