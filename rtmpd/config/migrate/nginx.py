"""The ``rtmp`` block of an nginx configuration: one table of directives, of which each puts, tells or both."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..entries import Path
from . import networks, scripts
from .blocks import Directive, included, read
from .draft import DIFFERS, Draft, literal
from .networks import Rule

RTMP, SERVER, APP = "rtmp", "server", "application"

_FIRST = ("notify_update_timeout", "record_path", "record_interval")  # others look at what these have put

_ASKED = (
    "the question is a POST with JSON (action, app, stream_name, stream_key, token, remote_addr), not a form; only 200 "
    "admits; a redirect is not an answer: rename with stream_name in the body of the answer"
)
_TOLD = (
    "a webhook: the body is JSON, not a form, with the name behind the application in stream_key; "
    "it is delivered in order and logged if it fails"
)
_ENDS = f"{_TOLD}; what it answers changes nothing"
_RUN = "a script gets no arguments and at most the timeout of its hook; nginx lets it run on"
_KEPT = "rtmpd keeps no process per stream: run it from a service manager, or from a worker (docs/hooks.md)"
_RECORDING = "rtmpd makes one recording of a stream: record and what begins with it in [apps]"
_PULL = "rtmpd fetches no streams; it pushes"
_OTHER_OUTPUT = "rtmpd serves RTMP only; have ffmpeg or another packager play the stream"
_FILES = "rtmpd plays live streams only"
_FIXED = "rtmpd has no such option: "

_ACTIONS = ("publish", "play")
_GLOB = set("*?[],")
_TEMPLATE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_TIME_PART = re.compile(r"(\d+)(ms|[smhdwMy]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}


@dataclass(slots=True)
class _Policy:
    """Who may publish and play in one application, as nginx decides it."""

    where: str = ""
    live: bool | None = None
    rules: dict[str, list[Rule]] = field(default_factory=lambda: {action: [] for action in _ACTIONS})
    asks: dict[str, Directive] = field(default_factory=dict)
    connect: Directive | None = None
    only_loopback: bool = False
    only_here: str = ""

    def of(self, action: str) -> tuple[object, ...]:
        """What decides on one action, to be compared."""
        asked = self.asks.get(action)
        return (
            self.live, self.rules[action], asked.first if asked else "", self.connect.first if self.connect else "",
            self.only_loopback, self.only_here,
        )  # fmt: skip


@dataclass(slots=True)
class _Scope:
    """Where a directive stands, and what the rules of the block have come to."""

    draft: Draft
    kind: str
    app: str = ""
    policy: _Policy = field(default_factory=_Policy)
    outer: _Policy = field(default_factory=_Policy)
    apart: bool = False  # servers listen on other hosts each

    @property
    def path(self) -> Path:
        return ("apps", self.app) if self.app else ("apps",)

    def inner(self, kind: str, app: str = "") -> _Scope:
        """The scope of a block in this one, which inherits its rules: own rules come before those around."""
        return _Scope(self.draft, kind, app, outer=self.merged(), apart=self.apart)

    def merged(self) -> _Policy:
        own, outer = self.policy, self.outer
        return _Policy(
            own.where or outer.where,
            outer.live if own.live is None else own.live,
            {action: [*own.rules[action], *outer.rules[action]] for action in _ACTIONS},
            {**outer.asks, **own.asks},
            own.connect or outer.connect,
            own.only_loopback or outer.only_loopback,
            own.only_here or outer.only_here,
        )


_Take = Callable[[_Scope, Directive], None]


def migrate(path: str) -> Draft:
    """What the file says of RTMP. Raises ConfigError. Waits for the disk."""
    draft = Draft(path)
    base = os.path.dirname(os.path.abspath(path))
    blocks = [one for one in _expanded(read(path), base) if one.name == RTMP]
    if not blocks:
        draft.absent(path, RTMP, "there is no rtmp block in the file")
    draft.put(("apps",), "served", [], blocks[0].where if blocks else path)  # nginx serves no application but these
    servers = [one for block in blocks for one in _expanded(block.body, base) if one.name == SERVER]
    apart = len({_hosts(server, base) for server in servers}) > 1
    policies: dict[str, _Policy] = {}
    for block in blocks:
        _walk(_Scope(draft, RTMP, apart=apart), block, base, policies)
    _listen_on(draft, [one for server in servers for one in _expanded(server.body, base) if one.name == "listen"])
    return draft


def _expanded(directives: tuple[Directive, ...], base: str) -> Iterator[Directive]:
    for directive in directives:
        yield from included(directive, base) if directive.name == "include" else [directive]


def _walk(scope: _Scope, block: Directive, base: str, policies: dict[str, _Policy]) -> None:
    """A block: its own directives first, for the blocks in it inherit them."""
    inside = sorted(_expanded(block.body, base), key=lambda one: one.name not in _FIRST)
    if scope.kind == SERVER and scope.apart:
        _confine(scope.policy, _hosts(block, base))
    for one in inside:
        if one.name not in (SERVER, APP, "listen"):
            _TABLE.get(one.name, _unknown)(scope, one)
    for one in inside:
        if one.name == SERVER:
            _walk(scope.inner(SERVER), one, base, policies)
        elif one.name == APP:
            _application(scope, one, base, policies)


def _application(scope: _Scope, block: Directive, base: str, policies: dict[str, _Policy]) -> None:
    app = block.first
    if not app or set(app) & _GLOB or app != app.strip():
        text = "rtmpd has no application of such a name; it is not served"
        scope.draft.absent(block.where, f"application {app}", text)
        return
    scope.draft.add(("apps",), "served", [literal(app)], block.where)
    scope.draft.open(("apps", app))
    inner = scope.inner(APP, app)
    _walk(inner, block, base, policies)
    policy = inner.merged()
    first = policies.setdefault(app, policy)
    if not policy.live:
        text = "live is off, so nginx passes nothing on"
        scope.draft.refuse(inner.path, _ACTIONS, block.where, f"application {app}", text, DIFFERS)
        return
    for action in _ACTIONS:
        if policy.of(action) != first.of(action):
            text = f"there are several applications {app}, with other rules for {action}, and rtmpd has one"
            scope.draft.refuse(inner.path, [action], block.where, f"application {app}", text)
        elif policy is first:
            _decide(scope.draft, inner.path, policy, action, block)


def _decide(draft: Draft, path: Path, policy: _Policy, action: str, block: Directive) -> None:
    """Write who may publish or play in an application."""
    if policy.only_here:
        text = f"its server listens on {policy.only_here} only, and an application of rtmpd is reached by every address"
        draft.refuse(path, [action], block.where, f"application {path[-1]}", text)
        return
    where = policy.where or block.where
    try:
        allowed, denied = networks.lists(policy.rules[action])
    except ValueError as error:
        draft.refuse(path, [action], where, "allow, deny", str(error))
        return
    if policy.only_loopback and allowed:
        text = "its server listens on the loopback address only, and rtmpd cannot ask for that and an address in allow"
        draft.refuse(path, [action], where, f"application {path[-1]}", text)
        return
    if policy.only_loopback:
        allowed, where = ["loopback"], block.where
    for key, values in ((f"{action}_allow", allowed), (f"{action}_deny", denied)):
        if values:
            draft.put(path, key, values, where)
    asked, connect = policy.asks.get(action), policy.connect
    if asked and connect and asked.first != connect.first:
        text = f"rtmpd asks one endpoint about a {action}, and here {asked.name} has to admit it too"
        draft.refuse(path, [action], connect.where, connect.name, text)
    asked = asked or connect
    if asked is None:
        return
    draft.put(path, f"{action}_access", "callback", asked.where)
    url = literal(_url(asked.first))
    if draft.get(path, "callback_url") in (None, url):
        draft.put(path, "callback_url", url, asked.where)
    else:
        draft.put(path, "play_callback_url", url, asked.where)
    how = "asked for each publish and each play, not once: " if asked is connect else ""
    draft.differs(asked.where, asked.name, f"{action}_access = callback: {how}{_ASKED}")


# --- addresses ----------------------------------------------------------------------------------


def _hosts(server: Directive, base: str) -> frozenset[str]:
    """The hosts that a server listens on; "" is every address."""
    hosts = frozenset(_host(one.first) for one in _expanded(server.body, base) if one.name == "listen")
    return frozenset({""}) if hosts & _EVERY_HOST else hosts


def _confine(policy: _Policy, hosts: frozenset[str]) -> None:
    """Note where alone clients of a server come in. Applications of rtmpd are reached by every listener."""
    if hosts <= _LOOPBACK:
        policy.only_loopback = True
    elif "" not in hosts:
        policy.only_here = ", ".join(sorted(hosts))


def _host(address: str) -> str:
    """The host of a listen directive, "" for every address."""
    host = address.rpartition(":")[0] if ":" in address.rpartition("]")[2] else address
    return "" if host.isdigit() or host.startswith("${") else host.strip("[]").replace("*", "")


_EVERY_HOST = {"", "0.0.0.0", "::"}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def _listen_on(draft: Draft, listens: list[Directive]) -> None:
    found: dict[str, Directive] = {}
    for one in listens:
        if one.first.startswith("unix:"):
            draft.absent(one.where, one.name, "rtmpd listens on TCP")
            continue
        for address in networks.listeners([one.first]):
            found.setdefault(address, one)
        if "proxy_protocol" in one.words:
            draft.absent(one.where, "proxy_protocol", "rtmpd sees the address of the proxy")
    for address in networks.listeners(found):
        draft.add(("server",), "listen", [_text(draft, address, found[address])], found[address].where)


def _text(draft: Draft, text: str, one: Directive) -> str:
    """An argument as text for the file. ``${NAME}`` in capitals is of a template (envsubst), and stays a reference."""
    names = _TEMPLATE.findall(text)
    if names:
        draft.differs(one.where, one.name, f"takes {', '.join(names)} from the environment of rtmpd")
    parts, at = [], 0
    for match in _TEMPLATE.finditer(text):
        parts += [literal(text[at : match.start()]), match[0]]
        at = match.end()
    return "".join(parts) + literal(text[at:])


def _url(text: str) -> str:
    """The URL of a notification; nginx does without its scheme."""
    return text if "://" in text else f"http://{text}"


# --- one kind of directive each -----------------------------------------------------------------


def _unknown(scope: _Scope, one: Directive) -> None:
    scope.draft.absent(one.where, one.name, "rtmpd migrate does not know this directive")


def _absent(text: str) -> _Take:
    return lambda scope, one: scope.draft.absent(one.where, one.name, text)


def _unless_off(text: str) -> _Take:
    def take(scope: _Scope, one: Directive) -> None:
        if one.first != "off":
            scope.draft.absent(one.where, one.name, text)

    return take


def _sets(section: str, key: str, text: str = "", zero: str = "", time: bool = False) -> _Take:
    """The first argument is the value of ``key``; ``text`` says what differs, ``zero`` what 0 means there and what is
    taken, if it cannot be set here; ``time`` is true for durations."""

    def take(scope: _Scope, one: Directive) -> None:
        value = _time(one.first) if time else _text(scope.draft, one.first, one)
        if zero and value.rstrip("msh") == "0":
            value, _, why = zero.partition(": ")
            scope.draft.differs(one.where, one.name, why)
        scope.draft.put((section,), key, value, one.where)
        if text:
            scope.draft.differs(one.where, one.name, text)

    return take


def _sets_app(key: str, text: str = "", time: bool = False) -> _Take:
    def take(scope: _Scope, one: Directive) -> None:
        word = _time(one.first) if time else _text(scope.draft, one.first, one)
        scope.draft.put(scope.path, key, {"on": "yes", "off": "no"}.get(word, word), one.where)
        if text:
            scope.draft.differs(one.where, one.name, text)

    return take


def _time(text: str) -> str:
    """A time of nginx (``1d``, ``1h30m``) as a duration of ours, anything else as it is."""
    if not re.fullmatch(rf"(?:{_TIME_PART.pattern})+", text):
        return literal(text)
    parts = _TIME_PART.findall(text)
    if not any(unit in "dwMy" and unit for _, unit in parts):
        return text if len(parts) == 1 or all(unit for _, unit in parts) else text + "s"
    return f"{sum(int(number) * _SECONDS[unit] for number, unit in parts if unit != 'ms')}s"


def _live(scope: _Scope, one: Directive) -> None:
    scope.policy.live = one.first == "on"


def _rule(scope: _Scope, one: Directive) -> None:
    """``allow [publish] [play] ADDRESS``."""
    named = [action for action in _ACTIONS if action in one.words[:-1]]
    for action in named or _ACTIONS:
        scope.policy.rules[action].append(Rule(one.name == "allow", one.words[-1] if one.words else ""))
    scope.policy.where = one.where


def _asks(action: str) -> _Take:
    """on_publish and on_play: who may is asked of an endpoint."""

    def take(scope: _Scope, one: Directive) -> None:
        scope.policy.asks[action] = one

    return take


def _connect(scope: _Scope, one: Directive) -> None:
    """Whoever is refused here cannot publish nor play."""
    scope.policy.connect = one
    _tells(("connection_accept",), f"it is reported, and asked about each publish and play: {_ENDS}")(scope, one)


def _tells(types: tuple[str, ...], text: str = _TOLD) -> _Take:
    """The other on_...: a webhook."""

    def take(scope: _Scope, one: Directive) -> None:
        path = _hook(scope, one, "webhook", types)
        scope.draft.put(path, "url", _text(scope.draft, _url(one.first), one), one.where)
        scope.draft.differs(one.where, one.name, text)

    return take


def _updates(scope: _Scope, one: Directive) -> None:
    if scope.draft.get(("apps",), "update_interval") is None:
        scope.draft.put(("apps",), "update_interval", "30s", one.where)
    _tells(("session_update",))(scope, one)
    text = "its answer ended sessions, and ends none here: have the answer to the callback give a lease"
    scope.draft.absent(one.where, one.name, text)


_BASENAME = "$(name=\"${RTMP_PATH##*/}\"; printf %s \"${name%.*}\")"


def _runs(type: str) -> _Take:
    def take(scope: _Scope, one: Directive) -> None:
        path = _hook(scope, one, "script", (type,))
        name = path[-1]
        variables = {
            "app": '"${RTMP_STREAM_KEY%%/*}"',
            "name": '"${RTMP_STREAM_KEY#*/}"',
            "addr": '"${RTMP_CLIENT_IP:-}"',
            "clientid": '"${RTMP_CONN_ID:-}"',
            "args": '"${RTMP_QUERY:-}"',
            "path": '"${RTMP_PATH:-}"',
            "dirname": '"${RTMP_PATH%/*}"',
            "filename": '"${RTMP_PATH##*/}"',
            "basename": f'"{_BASENAME}"',
            "recorder": '""',  # the name of a recorder block, and those are not carried over
        }
        script = scripts.add(scope.draft, name, one.words, variables, one.where)
        if not script:
            scope.draft.give_up(path)
            return
        scope.draft.put(path, "path", script, one.where)
        scope.draft.differs(one.where, one.name, _RUN)

    return take


def _hook(scope: _Scope, one: Directive, type: str, types: tuple[str, ...]) -> Path:
    path = scope.draft.hook(f"{scope.app}-{one.name}" if scope.app else one.name)
    scope.draft.put(path, "type", type, one.where)
    scope.draft.put(path, "event_types", types, one.where)
    if scope.app:
        scope.draft.put(path, "stream_patterns", f"{literal(scope.app)}/*", one.where)
    return path


def _record(scope: _Scope, one: Directive) -> None:
    """Without ``record_path`` nginx records where it stands."""
    words = [word for word in one.words if word != "manual"]
    both = {"audio", "video"} <= set(words)
    scope.draft.put(scope.path, "record", "all" if both else words[0] if words else "off", one.where)
    if "manual" in one.words:
        scope.draft.absent(one.where, "manual", "a recording begins with its stream")
    if words != ["off"] and scope.draft.get(scope.path, "record_dir") is None:
        scope.draft.put(scope.path, "record_dir", ".", one.where)


def _of_files(scope: _Scope) -> tuple[str, ...]:
    """What tells of a finished file: of each segment, or of the one that a recording is."""
    return ("segment_complete",) if scope.draft.get(scope.path, "segment_duration") else ("recording_stop",)


def _record_suffix(scope: _Scope, one: Directive) -> None:
    suffix = literal(one.first)
    path = "{name}{time:" + suffix + "}" if "%" in suffix else "{name}" + suffix
    scope.draft.put(scope.path, "record_path", path, one.where)


def _record_append(scope: _Scope, one: Directive) -> None:
    if one.first == "on":
        scope.draft.put(scope.path, "record_existing", "append", one.where)


def _push(scope: _Scope, one: Directive) -> None:
    """``push URL [app=APP] [name=NAME]``: to the same application and name, if nothing else is said."""
    scheme, _, rest = (one.first if "://" in one.first else f"rtmp://{one.first}").partition("://")
    host, _, named = rest.partition("/")
    app, _, name = named.strip("/").partition("/")
    for word in one.words[1:]:
        key, _, value = word.partition("=")
        if key == "name":
            name = value.strip("/")
        elif key == "app":
            app = value.strip("/")
        else:
            scope.draft.absent(one.where, key, "rtmpd sends the URL of the destination")
    url = f"{scheme}://{host}/{app or '{app}'}{f'/{name}' if name else ''}"
    if "{" in url.replace("{app}", "") and not _TEMPLATE.search(url):
        url = url.replace("{", "{{").replace("}", "}}").replace("{{app}}", "{app}")
    scope.draft.add(scope.path, "push", [_text(scope.draft, url, one)], one.where)


def _error_log(scope: _Scope, one: Directive) -> None:
    level = one.words[1] if len(one.words) > 1 else "error"
    levels = {"debug": "debug", "info": "info", "notice": "info", "warn": "warning"}
    scope.draft.put(("log",), "file", literal(one.first), one.where)
    scope.draft.put(("log",), "level", levels.get(level, "error"), one.where)
    scope.draft.differs(one.where, one.name, "one log for all of rtmpd; SIGUSR1 opens it anew")


def _nothing(scope: _Scope, one: Directive) -> None:
    """What rtmpd does anyway, or needs not."""
    scope.draft.carried += 1


_TABLE: dict[str, _Take] = {
    "live": _live,
    "chunk_size": _sets("server", "chunk_size"),
    "ack_window": _sets("server", "window_ack"),
    "max_connections": _sets("limits", "connections"),
    "max_streams": _sets("limits", "chunk_streams"),  # nginx calls chunk streams so
    "max_message": _sets("limits", "message_size"),
    "ping": _sets("limits", "ping_interval", zero="1h: pings cannot be switched off; once an hour is taken", time=True),
    "ping_timeout": _sets(
        "limits", "ping_timeout", zero="1h: an answer cannot be waited for endlessly; an hour is taken", time=True
    ),
    "timeout": _sets_app("send_timeout", "how long a player may take nothing; publishers have publisher_timeout", True),
    "drop_idle_publisher": _sets(
        "limits", "publisher_timeout", "one for all applications",
        "24h: an idle publisher cannot be kept for ever; a day is taken", True,
    ),
    "idle_streams": _sets_app("play_waits"),
    "gop_cache": _sets_app("gop_cache"),
    "gop_max_frame_count": _sets_app("gop_cache_frames"),
    "max_queue": _sets_app("backlog_size"),
    "allow": _rule,
    "deny": _rule,
    "on_publish": _asks("publish"),
    "on_play": _asks("play"),
    "on_connect": _connect,
    "on_disconnect": _tells(("connection_close",), _ENDS),
    "on_publish_done": _tells(("publish_stop",), _ENDS),
    "on_play_done": _tells(("play_stop",), _ENDS),
    "on_done": _tells(("publish_stop", "play_stop"), _ENDS),
    "on_update": _updates,
    "on_record_done": lambda scope, one: _tells(_of_files(scope), f"{_ENDS}; data.path is the file")(scope, one),
    "notify_update_timeout": _sets_app("update_interval", time=True),
    "notify_method": _absent("webhooks and callbacks are POST requests with JSON"),
    "notify_update_strict": _absent("the answer to session_update ends no session"),
    "notify_relay_redirect": _absent("redirects are not supported; set push in [apps]"),
    "exec_publish": _runs("publish_start"),
    "exec_publish_done": _runs("publish_stop"),
    "exec_play": _runs("play_start"),
    "exec_play_done": _runs("play_stop"),
    "exec_record_done": lambda scope, one: _runs(*_of_files(scope))(scope, one),
    **dict.fromkeys(("exec", "exec_push", "exec_pull", "exec_static"), _absent(_KEPT)),
    **dict.fromkeys(("exec_options", "exec_kill_signal", "respawn", "respawn_timeout"), _absent(_KEPT)),
    "push": _push,
    "push_reconnect": _sets_app("push_retry", "each further wait is twice as long, up to push_retry_max", True),
    **dict.fromkeys(("pull", "pull_reconnect"), _absent(_PULL)),
    **dict.fromkeys(("session_relay", "relay_buffer", "record_unique", "record_lock"), _nothing),
    "record": _record,
    "record_path": _sets_app("record_dir"),
    "record_suffix": _record_suffix,
    "record_append": _record_append,
    "record_max_size": _sets_app("record_max_size", "it ends the recording with all its files"),
    "record_interval": _sets_app("segment_duration", "a file ends at the next keyframe", True),
    **dict.fromkeys(("recorder", "record_max_frames", "record_notify"), _absent(_RECORDING)),
    **dict.fromkeys(("hls", "dash"), _unless_off(_OTHER_OUTPUT)),
    **dict.fromkeys(
        ("hls_path", "hls_fragment", "hls_playlist_length", "hls_sync", "hls_continuous", "hls_nested", "hls_cleanup",
         "hls_fragment_naming", "hls_fragment_slicing", "hls_variant", "hls_type", "hls_keys", "hls_key_path",
         "hls_key_url", "hls_fragments_per_key", "hls_base_url", "hls_max_fragment", "hls_max_audio_delay",
         "hls_audio_buffer_size", "hls_muxdelay", "hls_datetime", "dash_path", "dash_fragment", "dash_playlist_length",
         "dash_nested", "dash_cleanup"), _absent(_OTHER_OUTPUT),
    ),
    **dict.fromkeys(("play", "play_temp_path", "play_local_path"), _absent(_FILES)),
    "access_log": _unless_off("what clients do is events: a hook of type = stdio or a plugin writes them down"),
    "log_format": _absent("events are JSON; what clients do is in them"),
    "error_log": _error_log,
    "publish_notify": _nothing,
    "play_restart": _absent(_FIXED + "players get the messages of RTMP when a publisher comes and goes"),
    **dict.fromkeys(("wait_key", "wait_video"), _absent(_FIXED + "a player begins at a keyframe")),
    **dict.fromkeys(("meta", "sync", "interleave"), _absent(_FIXED + "media is passed on as it came")),
    "buflen": _absent(_FIXED + "live media is not held back; see flush"),
    **dict.fromkeys(("out_queue", "out_cork"), _absent(_FIXED + "see backlog_size, backlog_time and flush")),
    "so_keepalive": _absent(_FIXED + "peers are pinged (ping_interval)"),
    "busy": _absent(_FIXED + "an address is listened on by one process"),
    **dict.fromkeys(("play_time_fix", "publish_time_fix"), _absent(_FIXED + "timestamps are passed on as they came")),
    **dict.fromkeys(("rtmp_auto_push", "rtmp_auto_push_reconnect", "rtmp_socket_dir"), _nothing),
}
