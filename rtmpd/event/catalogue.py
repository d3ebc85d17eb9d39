"""Every event type: when it is emitted, its severity and the fields of its ``data``.

This is the only table of events. docs/events.md is rendered from it, hooks are bound to its names, and the environment
of a script is limited to its fields. Fields are in the order in which emitters pass them; a field that does not apply
or is unknown is absent, never 0 or "". The notation is that of ``kind.fields``.

To add a field to an event, add it here and pass it where the event is emitted. What a
connection does is emitted by ``server.report``, what a publish or a play does by ``server.publisher`` and ``player``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType

from .kind import CRITICAL, DEBUG, ERROR, INFO, WARNING, EventType, Group, fields

# --- fields that several types share --------------------------------------------------------------

_APP = "app string application of the connect command"
_NAME = "stream_name string stream name, query removed"
_SESSION = "session_id string the same in the start and the stop of one session"
_REASON = "reason string why it ended"
_PLAY_PROTOCOL = "protocol string! `rtmp`, `http-flv`, `ws-flv`, `hls` or `http-fmp4`"
_DURATION = "duration_sec number seconds"
#: Fields that replace the duration and the counters of an end that is emitted after a crash (``pairing``).
_AFTER_CRASH = (
    "last_seen integer? Unix time of the last sign of life; only with `server_crash`",
    "at_least_sec number? seconds from the start to `last_seen`; only with `server_crash`",
)
_STATE = "state string! `raised` or `cleared`"
_ALERT_SEVERITY = "severity string! `warning` or `critical`"
_HOOK = "hook_id string the hook this is about"
_OF_HOOK = "hook_id string? the hook this is about"

_PEER_ERROR = fields(
    "error_type string! `handshake_failure`, `protocol_error`, `network_error` or `timeout`",
    "error_message string what happened, in words",
    "error_code string errno name or a short code of rtmpd",
    "phase string! `handshake`, `chunking`, `command_processing` or `media_processing`",
    "peer_addr string address and port",
    "connection_duration_ms integer milliseconds since accept",
    "bytes_received integer bytes",
    "bytes_sent integer bytes",
    "retry_count integer always 0 for incoming connections",
)
_PERFORMANCE = fields(
    "metric_type string `cpu`, `memory`, `connections` or `queue_depth`; for resources the resource",
    "current_value number in the unit of the threshold",
    "threshold number percent or a count",
    _ALERT_SEVERITY,
    _STATE,
    "active_connections integer connections",
    "total_streams integer streams",
    "message_queue_depth integer messages waiting",
    "goroutine_count integer the same as `greenlet_count`, for compatibility",
    "greenlet_count integer greenlets",
)
_WINDOW_CHANGE = fields(
    "metric string! `bitrate` or `framerate`",
    "previous number the baseline",
    "current number the current value",
    "change_percent number relative to the baseline",
    "threshold_percent number the limit that was exceeded",
)
_BY_SEVERITY = (("critical", CRITICAL),)

# --- the table ------------------------------------------------------------------------------------

_CONNECTIONS = Group(
    "Connections",
    (
        EventType("connection_accept", INFO, "TLS (if any) and the RTMP handshake are done.", fields(
            "client_ip string the peer's address",
            "client_port integer the peer's port",
            "server_ip string the server's address",
            "server_port integer the server's port",
            "remote_addr string `ip:port`, IPv6 in brackets",
            "tls boolean whether the connection is encrypted",
            "protocol string! `rtmp` or `rtmps`",
        )),
        EventType("handshake_complete", DEBUG, "Right after `connection_accept`.", fields(
            "duration_ms number milliseconds the handshake took",
            "scheme string! `simple` or `digest`",
            "tls_version string e.g. `TLSv1.3`, empty without TLS",
            "tls_cipher string cipher suite, empty without TLS",
        )),
        EventType("connection_close", INFO, "The connection ended; exactly one per `connection_accept`.", fields(
            "role string empty, `publisher` or `subscriber`",
            _REASON,
            "duration_sec number seconds since accept",
            "bytes_received integer bytes",
            "bytes_sent integer bytes",
            _APP,
            "client_ip string the peer's address",
            "remote_addr string `ip:port`, IPv6 in brackets",
            *_AFTER_CRASH,
        )),
        EventType(
            "connection_error",
            ERROR,
            "The handshake failed, or a failed read or write, a protocol violation or a timeout ended the connection. "
            "A client that leaves between two messages or without sending a byte, and a player that resets the"
            " connection, are not errors.",
            _PEER_ERROR,
        ),
        EventType("protocol_error", WARNING, "A protocol violation that did not end the connection.", _PEER_ERROR),
        EventType("auth_failed", WARNING, "The access rules refused a publish or play.", fields(
            "action string! `publish` or `play`",
            _APP,
            _NAME,
            "error string why",
            "remote_addr string `ip:port`",
        )),
    ),
)

_STREAMS = Group(
    "Streams",
    (
        EventType("stream_create", INFO, "The first publisher or player of a stream arrived.", fields(_APP, _NAME)),
        EventType(
            "stream_delete",
            INFO,
            "The stream has neither a publisher nor a player any more.",
            fields(_APP, _NAME, _DURATION, *_AFTER_CRASH),
        ),
        EventType("publish_start", INFO, "Access is granted, and `NetStream.Publish.Start` is queued.", fields(
            _APP,
            "publishing_name string stream name, query removed",
            "publish_type string! `live`, `record` or `append`",
            _SESSION,
            "client_ip string the publisher's address",
            "encoder string the `flashVer` or encoder name that the client sent",
            "identity string the identity from the access rules",
            "query object the parameters of the stream name's query, with masked values",
            "protocol string? `pull` if rtmpd fetches the stream, absent if a client publishes it",
        )),
        EventType("publish_stop", INFO, "The publish session ended.", fields(
            "audio_packets integer audio messages received",
            "video_packets integer video messages received",
            "total_bytes integer media bytes received",
            "audio_codec string e.g. `AAC`, empty if none",
            "video_codec string e.g. `H264`, empty if none",
            "duration_sec number seconds since the start of the session",
            _APP,
            _SESSION,
            "client_ip string the publisher's address",
            "identity string the identity from the access rules",
            _REASON,
            *_AFTER_CRASH,
        )),
        EventType("publish_stalled", WARNING, "The publisher has sent no media for `stalled_after`.", fields(
            "idle_ms integer milliseconds without media", _SESSION,
        )),
        EventType("publish_resumed", INFO, "The publisher sends media again after `publish_stalled`.", fields(
            "idle_ms integer milliseconds without media", _SESSION,
        )),
        EventType("publish_replaced", WARNING, "A newer publisher replaced this one (`publish_conflict`).", fields(
            "session_id string session of the replaced publisher",
            "by_conn_id string connection of the newer publisher",
            "policy string the policy that decided",
        )),
        EventType("play_start", INFO, "A player was attached to a stream.", fields(
            _APP, _SESSION, "client_ip string the player's address", _PLAY_PROTOCOL,
        )),
        EventType("play_stop", INFO, "A player was detached from a stream.", fields(
            _APP,
            _SESSION,
            "client_ip string the player's address",
            _PLAY_PROTOCOL,
            "duration_sec number seconds since the start of the session",
            "bytes_sent integer media bytes sent",
            "frames_dropped integer frames dropped because the player was too slow",
            _REASON,
            *_AFTER_CRASH,
        )),
        EventType("subscriber_count", INFO, "Follows each `play_start` and `play_stop`.", fields(
            "count integer players of the stream",
        )),
        EventType("stream_not_found", INFO, "A client asked to play a stream that has no publisher.", fields(
            _APP, _NAME, "waiting boolean whether the player waits for a publisher",
        )),
        EventType("stream_idle", INFO, "The publisher has had no player for `idle_after`.", fields(
            "idle_sec number seconds without a player",
        )),
        EventType("session_update", DEBUG, "Periodic figures of each publisher and player; off by default.", fields(
            "role string! `publisher` or `subscriber`",
            _SESSION,
            "bytes integer media bytes so far",
            "frames integer? frames so far, of a publisher",
            "frames_dropped integer? frames dropped so far, of a player",
            "queue_ms integer? milliseconds of media waiting to be sent, to a player",
            "bitrate integer bits per second",
        )),
        EventType(
            "stream_error",
            ERROR,
            "Invalid stream key, refused access, codec mismatch, unreadable media, publish conflict, a limit that was"
            " reached, or the first jump of the timestamps of a publish.",
            fields(
                "error_type string! `invalid_stream_key`, `auth_failed`, `codec_mismatch`, `media_error`, "
                "`timestamp_jump`, `publish_conflict` or `limit_reached`",
                "error_message string what happened, in words",
                _APP,
                _NAME,
            ),
        ),
    ),
)

_MEDIA = Group(
    "Media",
    (
        EventType(
            "codec_detected",
            INFO,
            "The first packet of each media type that identifies the codec (the sequence header, or the first keyframe"
            " of VP8 and VP9), and every change of codec, profile, level, size, rate or channels.",
            fields(
                "media_type string! `audio` or `video`",
                "codec_name string `H264`, `H265`, `AV1`, `VP8`, `VP9`, `VVC`, `AAC`, `MP3`, `OPUS`, `FLAC`, `AC3`, "
                "`EAC3`, `SPEEX`, `G711A`, `G711U`…",
                "codec_profile string? lower case, e.g. `high`",
                "level string? e.g. `4.1`",
                "bitrate integer? bits per second, from the payload or else from `onMetaData`",
                "resolution string? e.g. `1920x1080`; after cropping, not corrected for the pixel aspect ratio",
                "framerate number? frames per second, from the payload or else from `onMetaData`",
                "sample_rate integer? output sample rate of a decoder in hertz",
                "channels integer? output channels of a decoder",
                "packet_type string! `sequence_header` or `raw`",
                "frame_type string!? `keyframe` or `interframe`",
                "change boolean whether this replaces an earlier report for this media type",
            ),
        ),
        EventType("stream_metadata", INFO, "`onMetaData` arrived for the first time or with new content.", fields(
            "width integer? pixels",
            "height integer? pixels",
            "framerate number? frames per second",
            "video_bitrate integer? bits per second",
            "audio_bitrate integer? bits per second",
            "encoder string? as sent",
            "creation_date string? as sent",
            "title string? as sent",
            "duration number? seconds; 0 from most live encoders",
            "extra object? other numbers, texts and booleans: up to 32, names up to 64 and texts up to 256 characters",
        )),
        EventType(
            "bitrate_change",
            WARNING,
            "The bitrate of the last 10 s differs from the baseline by more than 20 %.",
            _WINDOW_CHANGE,
        ),
        EventType(
            "framerate_change",
            WARNING,
            "The frame rate of the last 10 s fell below the baseline by more than 10 %.",
            _WINDOW_CHANGE,
        ),
        EventType(
            "resolution_change",
            WARNING,
            "A new sequence header (or a keyframe of VP8, VP9 or AV1) has another size.",
            fields("previous string e.g. `1920x1080`", "current string e.g. `1280x720`"),
        ),
        EventType(
            "quality_alert",
            WARNING,
            "Long keyframe interval, low bitrate or frame rate, frozen video, missing audio or video, timestamp jump, "
            "drift between audio and video, or forbidden B-frames.",
            fields(
                "metric string the measured property",
                "value number in the unit of the metric",
                "threshold number in the unit of the metric",
                _ALERT_SEVERITY,
                _STATE,
            ),
            "severity",
            _BY_SEVERITY,
        ),
    ),
)

_RESOURCES = Group(
    "Performance and resources",
    (
        EventType(
            "performance_alert",
            WARNING,
            "CPU above 80 %, memory above 90 %, connections or queue depth above their limits.",
            _PERFORMANCE,
            "severity",
            _BY_SEVERITY,
        ),
        EventType(
            "latency_alert",
            WARNING,
            "The time of handshakes, messages or hooks is above its threshold, or the event loop is late.",
            fields(
                "metric string `handshake`, `message`, `hook` or `hub_lag`",
                "value_ms number milliseconds",
                "threshold_ms number milliseconds",
                _ALERT_SEVERITY,
                _STATE,
                _OF_HOOK,
            ),
            "severity",
            _BY_SEVERITY,
        ),
        EventType(
            "resource_alert",
            WARNING,
            "File descriptors, disk space of the store or recordings, or hook backlog or dead letters pass a limit.",
            (*_PERFORMANCE, *fields(_OF_HOOK, "path string? directory whose file system is full")),
            "severity",
            _BY_SEVERITY,
        ),
    ),
)

_DESTINATION = "destination string URL, credentials removed"
_SOURCE = "source string URL, credentials removed"

_SERVER = Group(
    "Outputs, hooks and the server",
    (
        EventType("recording_start", INFO, "A recording opened its first file.", fields(
            "path string file", "format string container", _SESSION,
        )),
        EventType("recording_stop", INFO, "A recording ended.", fields(
            "path string file", "format string container", _SESSION, "size integer bytes", _DURATION, _REASON,
            *_AFTER_CRASH,
        )),
        EventType("recording_recovered", WARNING, "A start finished a recording that a crash left.", fields(
            "path string file", _DURATION, "lost_ms integer milliseconds",
        )),
        EventType("recording_deleted", INFO, "A recording was deleted, as the settings say.", fields(
            "path string file", "size integer bytes", "age_sec number seconds",
            "rule string age, size or free",
        )),
        EventType("segment_complete", INFO, "A segment file was closed.", fields(
            "path string file",
            "size integer bytes",
            "segment_index integer counted from 1",
            "duration_ms integer milliseconds",
        )),
        EventType("relay_start", INFO, "A relay was connected to its destination.", fields(_DESTINATION, _SESSION)),
        EventType("relay_stop", INFO, "A relay ended.", fields(
            _DESTINATION, _SESSION, _DURATION, _REASON, *_AFTER_CRASH,
        )),
        EventType("relay_error", ERROR, "A relay could not connect or lost its connection.", fields(
            _DESTINATION,
            _SESSION,
            "error_message string what happened, in words",
            "attempt integer counted from 1",
            "retry_in_ms integer milliseconds until the next attempt",
        )),
        EventType("pull_start", INFO, "A stream comes from another server.", fields(_SOURCE, _SESSION)),
        EventType("pull_stop", INFO, "A stream comes from another server no more.", fields(
            _SOURCE, _SESSION, _DURATION, _REASON, *_AFTER_CRASH,
        )),
        EventType("pull_error", ERROR, "A source could not be played, or its connection was lost.", fields(
            _SOURCE,
            "error_message string what happened, in words",
            "attempt integer counted from 1",
            "retry_in_ms integer milliseconds until the next attempt, 0 if another source is tried at once",
        )),
        EventType("hook_degraded", WARNING, "A hook tripped: its endpoint is only probed.", fields(
            _HOOK,
            "fault string what is at fault: `endpoint`, `auth`…",
            "failures integer failures in a row",
            "backlog integer events waiting",
            "oldest_sec number age of the oldest waiting event in seconds",
        )),
        EventType("hook_recovered", INFO, "A tripped hook delivers again.", fields(
            _HOOK,
            "fault string what was at fault",
            "failures integer failures in a row",
            "backlog integer events waiting",
            "oldest_sec number age of the oldest waiting event in seconds",
        )),
        EventType("events_dropped", ERROR, "A full queue or store dropped events.", fields(
            _HOOK,
            "count integer dropped events",
            _REASON,
            "from_seq integer first dropped sequence number",
            "to_seq integer last dropped sequence number",
        )),
        EventType("server_start", INFO, "The server is ready.", fields(
            "version string of rtmpd", "node string id of this node", "pid integer process id",
            "listen array addresses",
        )),
        EventType("server_stop", INFO, "The server stopped.", fields(
            "version string of rtmpd", "node string id of this node", "pid integer process id",
            "listen array addresses", _REASON, "uptime_sec number seconds", *_AFTER_CRASH,
        )),
        EventType(
            "config_reload",
            INFO,
            "A reload was applied or rejected.",
            fields(
                "result string! `applied` or `rejected`",
                "changed array sections that changed",
                "restart_needed array keys that need a restart",
                "errors array problems found",
            ),
            "result",
            (("rejected", ERROR),),
        ),
    ),
)

GROUPS = (_CONNECTIONS, _STREAMS, _MEDIA, _RESOURCES, _SERVER)

#: Every event type by name, in the order of the documentation.
EVENT_TYPES: Mapping[str, EventType] = MappingProxyType({
    event_type.name: event_type for group in GROUPS for event_type in group.types
})

#: Types that are of little use when late. They are dropped first when space is short; all others are durable.
VOLATILE_TYPES = frozenset({
    "bitrate_change",
    "framerate_change",
    "latency_alert",
    "performance_alert",
    "quality_alert",
    "session_update",
})


def severity_of(name: str, data: Mapping[str, object]) -> str:
    """Return the severity of an event of type ``name``; ``info`` if the table does not have the name."""
    event_type = EVENT_TYPES.get(name)
    return event_type.severity_for(data) if event_type else INFO


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the globs matches the event type; an empty list matches every type."""
    patterns = tuple(patterns)
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
