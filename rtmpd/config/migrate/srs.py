"""srs.conf: the options of RTMP, ``http_hooks`` and ``security`` of its vhosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from .blocks import Directive, included, read
from .draft import Draft, literal, written

_Take = Callable[[Draft, Directive], None]

_APPS = ("apps",)
_ASKED = (
    "the question has action, app, stream_name, stream_key, token and remote_addr; status 200 admits, a body of 0 or "
    '{"code":0} is not looked for'
)
_DVR_FIELD = re.compile(r"\[(\w+)\]")
_DVR_FIELDS = {
    "app": "{app}",
    "stream": "{name}",
    "timestamp": "{time:%s}",
    "2006": "{time:%Y}",
    "01": "{time:%m}",
    "02": "{time:%d}",
    "15": "{time:%H}",
    "04": "{time:%M}",
    "05": "{time:%S}",
}
_TOLD = "a webhook: action is type, client_id conn_id, stream and app stream_key; what it answers changes nothing"
_OTHER_OUTPUT = "rtmpd takes and serves RTMP only"
_RECORDING = "one recording of each stream: record and what begins with it in [apps]"
_RELAY = "rtmpd pushes to the destinations of push in [apps], and asks nobody for them"
_PASSED_ON = "media is passed on as it came"
_SERVICE = "how rtmpd runs is for the service manager"


def migrate(path: str) -> Draft:
    """What the file says of RTMP. Raises ConfigError. Waits for the disk."""
    draft = Draft(path)
    _all(draft, _expanded(read(path)), _TOP)
    return draft


def _expanded(directives: Iterable[Directive]) -> Iterator[Directive]:
    """SRS looks for what is included from the directory in which it runs, and so does this."""
    for directive in directives:
        yield from included(directive, "") if directive.name == "include" else [directive]


def _all(draft: Draft, directives: Iterable[Directive], table: dict[str, _Take]) -> None:
    for one in directives:
        take = table.get(one.name)
        if take is None:
            draft.absent(one.where, one.name, "rtmpd migrate does not know this directive")
        else:
            take(draft, one)


def _is_off(block: Directive) -> bool:
    """Blocks are off unless they say otherwise."""
    return not any(one.name == "enabled" and one.first == "on" for one in block.body)


# --- one kind of directive each -----------------------------------------------------------------


def _sets(section: str, key: str, unit: str = "", text: str = "") -> _Take:
    def take(draft: Draft, one: Directive) -> None:
        value = {"on": "yes", "off": "no"}.get(one.first, literal(one.first) + unit)
        draft.put((section,), key, value, one.where)
        if text:
            draft.differs(one.where, one.name, text)

    return take


def _absent(text: str) -> _Take:
    return lambda draft, one: draft.absent(one.where, one.name, text)


def _unless_off(text: str) -> _Take:
    def take(draft: Draft, one: Directive) -> None:
        if one.first != "off" and not (one.body and _is_off(one)):
            draft.absent(one.where, one.name, text)

    return take


def _nothing(draft: Draft, one: Directive) -> None:
    """What rtmpd does anyway, or needs not."""
    draft.carried += 1


def _block(table: dict[str, _Take], switched: bool = True) -> _Take:
    def take(draft: Draft, one: Directive) -> None:
        if not switched or not _is_off(one):
            _all(draft, (inner for inner in _expanded(one.body) if inner.name != "enabled"), table)

    return take


def _listen(draft: Draft, one: Directive) -> None:
    draft.add(("server",), "listen", [f":{word}" if word.isdigit() else word for word in one.words], one.where)


def _log_level(draft: Draft, one: Directive) -> None:
    levels = {"verbose": "debug", "info": "debug", "debug": "debug", "trace": "info", "warn": "warning"}
    draft.put(("log",), "level", levels.get(one.first, "error"), one.where)


def _log_file(draft: Draft, one: Directive) -> None:
    draft.put(("log",), "file", literal(one.first), one.where)


def _vhost(draft: Draft, one: Directive) -> None:
    if one.first != "__defaultVhost__":
        draft.differs(one.where, f"vhost {one.first}", "rtmpd has no virtual hosts; what it says is for all")
    _all(draft, _expanded(one.body), _VHOST)


def _asks(action: str) -> _Take:
    def take(draft: Draft, one: Directive) -> None:
        draft.put(_APPS, f"{action}_access", "callback", one.where)
        before = draft.get(_APPS, "callback_url")
        for url in one.words if before is None else ():
            if url == one.first:
                draft.put(_APPS, "callback_url", literal(url), one.where)
            else:
                draft.absent(one.where, url, "rtmpd asks one endpoint")
        draft.differs(one.where, one.name, f"{action}_access = callback, at {written(before or one.first)}: {_ASKED}")

    return take


def _tells(type: str, text: str = _TOLD) -> _Take:
    """Each of the URLs is a hook."""

    def take(draft: Draft, one: Directive) -> None:
        for url in one.words:
            path = draft.hook(one.name)
            draft.put(path, "type", "webhook", one.where)
            draft.put(path, "event_types", type.split(", "), one.where)
            draft.put(path, "url", literal(url), one.where)
        draft.differs(one.where, one.name, text)

    return take


def _security(draft: Draft, one: Directive) -> None:
    """Whoever is not allowed is refused, and whoever is denied is refused although allowed."""
    if _is_off(one):
        return
    rules = [rule for rule in one.body if rule.name in ("allow", "deny")]
    for action in ("publish", "play"):
        mine = [rule for rule in rules if rule.first == action]
        for verb in ("allow", "deny"):
            addresses = [word for rule in mine if rule.name == verb for word in rule.words[1:]]
            everyone = ["0.0.0.0/0", "::/0"]
            if verb == "deny" and not any(rule.name == "allow" for rule in mine):
                addresses = everyone
            elif verb == "allow" and "all" in addresses:
                addresses = []
            if addresses:
                value = everyone if "all" in addresses else addresses
                draft.put(_APPS, f"{action}_{verb}", value, one.where)


def _forward(draft: Draft, one: Directive) -> None:
    """``forward HOST ...``, or the block of later versions."""
    named = [inner for inner in one.body if inner.name == "destination"]
    if one.body and _is_off(one):
        return
    hosts = [word for inner in named for word in inner.words] or list(one.words)
    draft.add(_APPS, "push", [f"rtmp://{literal(host)}/{{app}}" for host in hosts], one.where)
    _all(draft, (inner for inner in one.body if inner not in named and inner.name != "enabled"), {})


def _dvr(draft: Draft, one: Directive) -> None:
    if _is_off(one):
        return
    draft.put(_APPS, "record", "all", one.where)
    said = {inner.name: inner for inner in one.body}
    said.pop("enabled", None)
    path = said.pop("dvr_path", Directive(one.where, "dvr_path", ("./objs/nginx/html",)))
    folder, _, rest = path.first.partition("/[")
    if not rest and folder.endswith(".flv"):
        folder, _, rest = folder.rpartition("/")
    draft.put(_APPS, "record_dir", literal(folder) or ".", path.where)
    if rest:
        name = _DVR_FIELD.sub(lambda match: _DVR_FIELDS.get(match[1], match[0]), literal(path.first)[len(folder) + 1 :])
        draft.put(_APPS, "record_path", name, path.where)
    plan = said.pop("dvr_plan", None)
    duration = said.pop("dvr_duration", None)
    if plan and plan.first == "segment":
        draft.put(_APPS, "segment_duration", duration.first if duration else "30", plan.where)
    said.pop("dvr_wait_keyframe", None)
    _all(draft, said.values(), {})


_HOOKS: dict[str, _Take] = {
    "on_publish": _asks("publish"),
    "on_play": _asks("play"),
    "on_connect": _tells("connection_accept", f"it is told, not asked: {_TOLD}"),
    "on_close": _tells("connection_close"),
    "on_unpublish": _tells("publish_stop"),
    "on_stop": _tells("play_stop"),
    "on_dvr": _tells("recording_stop, segment_complete", f"{_TOLD}; of a recording in segments segment_complete tells"),
    "on_hls": _absent(_OTHER_OUTPUT),
    "on_hls_notify": _absent(_OTHER_OUTPUT),
    "on_forward": _absent(_RELAY),
}

_PLAY: dict[str, _Take] = {
    "gop_cache": _sets("apps", "gop_cache"),
    "gop_cache_max_frames": _sets("apps", "gop_cache_frames"),
    "queue_length": _sets("apps", "backlog_time", "s"),
    "mw_latency": _sets("apps", "flush_window", "ms", "it is used with flush = window or adaptive"),
    "mw_msgs": _absent("see flush"),
    "send_min_interval": _absent("see flush"),
    "reduce_sequence_header": _absent(_PASSED_ON),
    **dict.fromkeys(("atc", "mix_correct", "atc_auto", "time_jitter"), _unless_off(_PASSED_ON)),
}

_PUBLISH: dict[str, _Take] = {
    "firstpkt_timeout": _sets("limits", "first_media_timeout", "ms", "one for all applications"),
    "normal_timeout": _sets("limits", "publisher_timeout", "ms", "one for all applications"),
    "parse_sps": _nothing,
    "mr": _nothing,
    "mr_latency": _nothing,
    "kickoff_for_idle": _absent("stream_idle tells; rtmpctl kick ends it"),
}

_VHOST: dict[str, _Take] = {
    "enabled": _nothing,
    "chunk_size": _sets("server", "chunk_size"),
    "in_ack_size": _nothing,
    "out_ack_size": _sets("server", "window_ack"),
    "min_latency": _absent("see flush"),
    "tcp_nodelay": _nothing,
    "http_hooks": _block(_HOOKS),
    "security": _security,
    "play": _block(_PLAY, switched=False),
    "publish": _block(_PUBLISH, switched=False),
    **{name: _PLAY[name] for name in ("gop_cache", "queue_length")},
    "refer": _unless_off("pages of web sites do not play RTMP any more; use play_access"),
    "forward": _forward,
    "cluster": _absent(_RELAY),
    "dvr": _dvr,
    **dict.fromkeys(
        ("hls", "hds", "dash", "rtc", "srt", "transcode", "ingest", "exec", "http_remux", "bandcheck"),
        _unless_off(_OTHER_OUTPUT),
    ),
}

_TOP: dict[str, _Take] = {
    "listen": _listen,
    "max_connections": _sets("limits", "connections"),
    "srs_log_level": _log_level,
    "srs_log_level_v2": _log_level,
    "srs_log_file": _log_file,
    "srs_log_tank": _nothing,
    "vhost": _vhost,
    "rtmp": _block({"listen": _listen, "chunk_size": _sets("server", "chunk_size")}),
    "heartbeat": _unless_off("server_start and /healthz say as much; see docs/control.md"),
    "stats": _nothing,
    "http_api": _unless_off("another API: [http], docs/control.md"),
    **dict.fromkeys(("http_server", "rtc_server", "srt_server", "stream_caster"), _unless_off(_OTHER_OUTPUT)),
    "rtsp_server": _unless_off(_OTHER_OUTPUT),
    "exporter": _unless_off("/metrics of [http], docs/metrics.md"),
    **dict.fromkeys(("daemon", "pid", "work_dir", "asprocess", "inotify_auto_reload"), _absent(_SERVICE)),
    **dict.fromkeys(("ff_log_dir", "ff_log_level", "utc_time", "server_id"), _absent("rtmpd has no such option")),
    **dict.fromkeys(("grace_start_wait", "grace_final_wait", "force_grace_quit"), _nothing),
    **dict.fromkeys(("auto_reload_for_docker", "disable_daemon_for_docker"), _nothing),
    **dict.fromkeys(("threads", "tcmalloc_release_rate", "query_latest_version"), _nothing),
}
