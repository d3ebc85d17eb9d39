"""srs.conf: the options of RTMP, ``http_hooks`` and ``security`` of its vhosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network

from . import networks
from .blocks import Directive, included, read
from .draft import EVERYWHERE, Draft, literal

_Take = Callable[[Draft, Directive], None]

_APPS = ("apps",)
_ACTIONS = ("publish", "play")
_ASKED = (
    "the question has action, app, stream_name, stream_key, token and remote_addr; as with SRS, status 200 and a body "
    'of 0 or {"code": 0} admit'
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


@dataclass(slots=True)
class _Policy:
    """Who may publish and play in one virtual host, as SRS decides it."""

    where: str
    security: Directive | None = None
    asks: dict[str, Directive] = field(default_factory=dict)  # by publish, play and connect
    others: list[Directive] = field(default_factory=list)  # rules that rtmpd has not

    def of(self, action: str) -> tuple[object, ...]:
        """What decides on one action, to be compared."""
        rules = [(one.name, one.words) for one in self.security.body] if self.security else None
        asked = [self.asks[key].words if key in self.asks else () for key in (action, "connect")]
        return (rules, asked, [(one.name, one.words, one.body) for one in self.others])


def migrate(path: str) -> Draft:
    """What the file says of RTMP. Raises ConfigError. Waits for the disk."""
    draft = Draft(path)
    directives = list(_expanded(read(path)))
    _all(draft, (one for one in directives if one.name not in _LISTENS), _TOP)
    _listen_on(draft, directives)
    policies = [_policy(one) for one in directives if one.name == "vhost" and not _is_disabled(one)]
    if not policies:
        draft.refuse(_APPS, _ACTIONS, path, "vhost", "SRS serves nobody without a virtual host")
    for action in _ACTIONS:
        other = next((one for one in policies if one.of(action) != policies[0].of(action)), None)
        if other:
            text = f"virtual hosts have other rules for {action} each, and rtmpd has no virtual hosts"
            draft.refuse(_APPS, [action], other.where, "vhost", text)
        elif policies:
            _decide(draft, policies[0], action)
    return draft


def _policy(vhost: Directive) -> _Policy:
    policy = _Policy(vhost.where)
    for one in _expanded(vhost.body):
        if one.name == "security" and not _is_off(one):
            policy.security = Directive(one.where, one.name, one.words, tuple(_expanded(one.body)))
        elif one.name == "http_hooks" and not _is_off(one):
            asked = {"on_publish": "publish", "on_play": "play", "on_connect": "connect"}
            policy.asks |= {asked[hook.name]: hook for hook in _expanded(one.body) if hook.name in asked and hook.words}
        elif (one.name == "refer" and _refers(one)) or (one.name == "cluster" and _traverses(one)):
            policy.others.append(one)
    return policy


def _refers(one: Directive) -> bool:
    return one.first not in ("", "off") or (bool(one.body) and not _is_off(one))


def _traverses(one: Directive) -> bool:
    return any(inner.name == "token_traverse" and inner.first == "on" for inner in one.body)


def _is_disabled(vhost: Directive) -> bool:
    return any(one.name == "enabled" and one.first == "off" for one in vhost.body)


def _decide(draft: Draft, policy: _Policy, action: str) -> None:
    """Write who may publish or play."""
    for one in policy.others:
        what = "the origin decides" if one.name == "cluster" else "the page that a client names decides"
        draft.refuse(_APPS, [action], one.where, one.name, f"{what}, and rtmpd does not ask for that")
    if policy.security:
        _secure(draft, policy.security, action)
    asked, connect = policy.asks.get(action), policy.asks.get("connect")
    urls = dict.fromkeys([*(asked.words if asked else ()), *(connect.words if connect else ())])
    if not urls:
        return
    first = asked or connect
    assert first is not None
    draft.put(_APPS, f"{action}_access", "callback", first.where)
    url = literal(next(iter(urls)))
    key = "callback_url" if draft.get(_APPS, "callback_url") in (None, url) else "play_callback_url"
    draft.put(_APPS, key, url, first.where)
    draft.put(_APPS, "callback_answer", "code", first.where)
    draft.differs(first.where, first.name, f"{action}_access = callback, at {next(iter(urls))}: {_ASKED}")
    for more in list(urls)[1:]:
        where = asked.where if asked and more in asked.words else first.where
        text = f"rtmpd asks one endpoint about a {action}, and here all have to admit"
        draft.refuse(_APPS, [action], where, more, text)


def _secure(draft: Draft, block: Directive, action: str) -> None:
    """Whoever is denied is refused. If there is a rule that allows anybody anything, or no rule at all, so is whoever
    is not allowed."""
    rules = [rule for rule in block.body if rule.name in ("allow", "deny")]
    admits = {verb: _addresses(draft, rules, verb, action) for verb in ("allow", "deny")}
    if not rules or (not admits["allow"] and any(rule.name == "allow" for rule in rules)):
        draft.put(_APPS, f"{action}_deny", EVERYWHERE, block.where)
        return
    for verb, addresses in admits.items():
        where = next((rule.where for rule in rules if rule.name == verb and rule.first == action), block.where)
        if "all" in addresses:
            addresses = [] if verb == "allow" else list(EVERYWHERE)
        if addresses:
            draft.put(_APPS, f"{action}_{verb}", addresses, where)


def _addresses(draft: Draft, rules: Iterable[Directive], verb: str, action: str) -> list[str]:
    found = []
    for rule in rules:
        if rule.name != verb or rule.first != action:
            continue
        for address in rule.words[1:2]:
            try:
                found.append(address if address == "all" else networks.shown(ip_network(address, strict=False)))
            except ValueError:
                draft.absent(rule.where, f"{verb} {action}", f"{address} is not an address, so nobody has it")
    return found


def _listen_on(draft: Draft, directives: Iterable[Directive]) -> None:
    """``listen`` of earlier versions, and the blocks of later ones: rtmp is on unless it says otherwise, rtmps off."""
    plain: list[tuple[str, str]] = []
    for one in directives:
        if one.name == "listen":
            plain += [(word, one.where) for word in one.words]
        elif one.name == "rtmp" and not _is_disabled(one):
            plain += [(word, inner.where) for inner in one.body if inner.name == "listen" for word in inner.words]
            _all(draft, (inner for inner in one.body if inner.name not in ("listen", "enabled")), _RTMP)
        elif one.name == "rtmps" and not _is_off(one):
            for inner in one.body:
                if inner.name == "listen":
                    draft.add(("server",), "tls_listen", networks.listeners(inner.words), inner.where)
                elif inner.name in ("cert", "key"):
                    draft.put(("server",), f"tls_{inner.name}", literal(inner.first), inner.where)
                elif inner.name != "enabled":
                    draft.absent(inner.where, inner.name, "rtmpd migrate does not know this directive")
    places = dict(reversed(plain))
    for address in networks.listeners(word for word, _ in plain):
        where = next((at for word, at in places.items() if networks.listeners([word]) == [address]), "")
        draft.add(("server",), "listen", [literal(address)], where)
    off = next((one for one in directives if one.name == "rtmp" and _is_disabled(one)), None)
    if off and not plain:
        draft.put(("server",), "listen", [], off.where)


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


def _log_level(draft: Draft, one: Directive) -> None:
    levels = {"verbose": "debug", "info": "debug", "debug": "debug", "trace": "info", "warn": "warning"}
    draft.put(("log",), "level", levels.get(one.first, "error"), one.where)


def _log_file(draft: Draft, one: Directive) -> None:
    draft.put(("log",), "file", literal(one.first), one.where)


def _vhost(draft: Draft, one: Directive) -> None:
    if _is_disabled(one):
        draft.carried += 1
        return
    if one.first != "__defaultVhost__":
        draft.differs(one.where, f"vhost {one.first}", "rtmpd has no virtual hosts; what it says is for all")
    _all(draft, _expanded(one.body), _VHOST)


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
    **dict.fromkeys(("on_publish", "on_play"), _nothing),  # see _policy, which has what decides
    "on_connect": _tells("connection_accept", f"it is reported, and asked about each publish and play: {_TOLD}"),
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
    "security": _nothing,  # see _policy
    "play": _block(_PLAY, switched=False),
    "publish": _block(_PUBLISH, switched=False),
    **{name: _PLAY[name] for name in ("gop_cache", "queue_length")},
    "refer": _nothing,  # see _policy
    "forward": _forward,
    "cluster": _absent(_RELAY),
    "dvr": _dvr,
    **dict.fromkeys(
        ("hls", "hds", "dash", "rtc", "srt", "transcode", "ingest", "exec", "http_remux", "bandcheck"),
        _unless_off(_OTHER_OUTPUT),
    ),
}

_LISTENS = ("listen", "rtmp", "rtmps")
_RTMP: dict[str, _Take] = {"chunk_size": _sets("server", "chunk_size")}

_TOP: dict[str, _Take] = {
    "max_connections": _sets("limits", "connections"),
    "srs_log_level": _log_level,
    "srs_log_level_v2": _log_level,
    "srs_log_file": _log_file,
    "srs_log_tank": _nothing,
    "vhost": _vhost,
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
