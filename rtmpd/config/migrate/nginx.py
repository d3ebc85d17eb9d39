"""The ``rtmp`` block of an nginx configuration: one table of directives, of which each puts, tells or both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..entries import Path
from . import networks, scripts
from .blocks import Directive, included, read
from .draft import Draft, literal, written
from .networks import Rule

RTMP, SERVER, APP = "rtmp", "server", "application"

_FIRST = ("notify_update_timeout", "record_path", "record_interval")  # others look at what these have put

_ASKED = (
    "the question is a POST with JSON (action, app, stream_name, stream_key, token, remote_addr), not a form; only 200 "
    "admits; a redirect is no answer: rename with stream_name in the body of the answer"
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


@dataclass(slots=True)
class _Scope:
    """Where a directive stands, and what the rules of the block have come to."""

    draft: Draft
    kind: str
    app: str = ""
    outer: dict[str, list[Rule]] = field(default_factory=lambda: {"publish": [], "play": []})
    rules: dict[str, list[Rule]] = field(default_factory=lambda: {"publish": [], "play": []})
    where: str = ""
    live: bool = False

    @property
    def path(self) -> Path:
        return ("apps", self.app) if self.app else ("apps",)

    def all_rules(self) -> dict[str, list[Rule]]:
        """Own rules come before those of the blocks around, as nginx has it."""
        return {action: [*rules, *self.outer[action]] for action, rules in self.rules.items()}


_Take = Callable[[_Scope, Directive], None]


def migrate(path: str) -> Draft:
    """What the file says of RTMP. Raises ConfigError. Waits for the disk."""
    draft = Draft(path)
    base = os.path.dirname(os.path.abspath(path))
    blocks = [one for one in _expanded(read(path), base) if one.name == RTMP]
    if not blocks:
        draft.absent(path, RTMP, "there is no rtmp block in the file")
    for block in blocks:
        _walk(_Scope(draft, RTMP), block, base)
    return draft


def _expanded(directives: tuple[Directive, ...], base: str) -> Iterator[Directive]:
    for directive in directives:
        yield from included(directive, base) if directive.name == "include" else [directive]


def _walk(scope: _Scope, block: Directive, base: str) -> None:
    """A block: its own directives first, for the blocks in it inherit them."""
    inside = sorted(_expanded(block.body, base), key=lambda one: one.name not in _FIRST)
    for one in inside:
        if one.name not in (SERVER, APP):
            _TABLE.get(one.name, _unknown)(scope, one)
    if scope.kind == APP:
        _finish(scope, block)
    for one in inside:
        if one.name == SERVER:
            _walk(_inner(scope, SERVER), one, base)
        elif one.name == APP:
            scope.draft.add(("apps",), "served", [one.first], one.where)
            _walk(_inner(scope, APP, one.first), one, base)


def _inner(scope: _Scope, kind: str, app: str = "") -> _Scope:
    return _Scope(scope.draft, kind, app, scope.all_rules(), where=scope.where, live=scope.live)


def _finish(scope: _Scope, block: Directive) -> None:
    if not scope.live:
        text = "live is off in nginx, so nothing is relayed there; rtmpd serves the application"
        scope.draft.differs(block.where, f"application {scope.app}", text)
    scope.draft.open(scope.path)
    for action, rules in scope.all_rules().items():
        try:
            allowed, denied = networks.lists(rules)
        except ValueError as error:
            scope.draft.absent(scope.where, "allow, deny", str(error))
            continue
        for key, values in ((f"{action}_allow", allowed), (f"{action}_deny", denied)):
            if values:
                scope.draft.put(scope.path, key, values, scope.where)


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


def _sets(section: str, key: str, text: str = "", zero: str = "") -> _Take:
    """The first argument is the value of ``key``; ``text`` tells what differs, ``zero`` why 0 can not be set."""

    def take(scope: _Scope, one: Directive) -> None:
        if zero and one.first.rstrip("msh") == "0":
            scope.draft.absent(one.where, one.name, zero)
            return
        scope.draft.put((section,), key, literal(one.first), one.where)
        if text:
            scope.draft.differs(one.where, one.name, text)

    return take


def _sets_app(key: str, text: str = "") -> _Take:
    def take(scope: _Scope, one: Directive) -> None:
        scope.draft.put(scope.path, key, {"on": "yes", "off": "no"}.get(one.first, literal(one.first)), one.where)
        if text:
            scope.draft.differs(one.where, one.name, text)

    return take


def _listen(scope: _Scope, one: Directive) -> None:
    if one.first.startswith("unix:"):
        scope.draft.absent(one.where, one.name, "rtmpd listens on TCP")
        return
    address = one.first.replace("*:", ":", 1) if one.first.startswith("*:") else one.first
    if address.isdigit():
        address = f":{address}"
    elif ":" not in address.rpartition("]")[2]:
        address = f"{address}:1935"
    if f":{address.rpartition(':')[2]}" in (scope.draft.get(("server",), "listen") or ()):
        scope.draft.carried += 1  # a port alone is every address, of IPv6 too
    else:
        scope.draft.add(("server",), "listen", [address], one.where)
    if "proxy_protocol" in one.words:
        scope.draft.absent(one.where, "proxy_protocol", "rtmpd sees the address of the proxy")


def _live(scope: _Scope, one: Directive) -> None:
    scope.live = one.first == "on"


def _rule(scope: _Scope, one: Directive) -> None:
    named = one.first in scope.rules
    for action in [one.first] if named else list(scope.rules):
        scope.rules[action] += [Rule(one.name == "allow", address) for address in one.words[1 if named else 0 :]]
    scope.where = one.where


def _asks(action: str) -> _Take:
    """on_publish and on_play: who may is asked of an endpoint."""

    def take(scope: _Scope, one: Directive) -> None:
        draft = scope.draft
        draft.put(scope.path, f"{action}_access", "callback", one.where)
        other = draft.get(scope.path, "callback_url")
        if other not in (None, literal(one.first)):
            text = "callback_url is one for both; `action` in the question tells them apart"
            draft.differs(one.where, one.name, f"is asked at {written(other or '')}: {text}")
            return
        draft.put(scope.path, "callback_url", literal(one.first), one.where)
        draft.differs(one.where, one.name, f"{action}_access = callback: {_ASKED}")

    return take


def _tells(types: tuple[str, ...], text: str = _TOLD) -> _Take:
    """The other on_...: a webhook."""

    def take(scope: _Scope, one: Directive) -> None:
        path = _hook(scope, one, "webhook", types)
        scope.draft.put(path, "url", literal(one.first), one.where)
        scope.draft.differs(one.where, one.name, text)

    return take


def _updates(scope: _Scope, one: Directive) -> None:
    if scope.draft.get(("apps",), "update_interval") is None:
        scope.draft.put(("apps",), "update_interval", "30s", one.where)
    text = f"{_TOLD}; the answer does not end the session: give the callback of publish or play a lease"
    _tells(("session_update",), text)(scope, one)


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
        }
        scope.draft.put(path, "path", scripts.add(scope.draft, name, one.words, variables, one.where), one.where)
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
    """To the same application, if the URL names none."""
    url = one.first if "://" in one.first else f"rtmp://{one.first}"
    if url.rstrip("/").count("/") == 2:
        url = f"{url.rstrip('/')}/{{app}}"
    for word in one.words[1:]:
        name, _, value = word.partition("=")
        if name == "name":
            url += f"/{value}"
        else:
            scope.draft.absent(one.where, word, "rtmpd sends the URL of the destination")
    scope.draft.add(scope.path, "push", [literal(url)], one.where)


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
    "listen": _listen,
    "live": _live,
    "chunk_size": _sets("server", "chunk_size"),
    "ack_window": _sets("server", "window_ack"),
    "max_connections": _sets("limits", "connections"),
    "max_streams": _sets("limits", "message_streams"),
    "max_message": _sets("limits", "message_size"),
    "ping": _sets("limits", "ping_interval", zero="pings can not be switched off"),
    "ping_timeout": _sets("limits", "ping_timeout"),
    "timeout": _sets_app("send_timeout", "how long a player may take nothing; publishers have publisher_timeout"),
    "drop_idle_publisher": _sets("limits", "publisher_timeout", "one for all applications"),
    "idle_streams": _sets_app("play_waits"),
    "gop_cache": _sets_app("gop_cache"),
    "gop_max_frame_count": _sets_app("gop_cache_frames"),
    "max_queue": _sets_app("backlog_size"),
    "allow": _rule,
    "deny": _rule,
    "on_publish": _asks("publish"),
    "on_play": _asks("play"),
    "on_connect": _tells(("connection_accept",), f"it is told, not asked: {_ENDS}; use publish_access and play_access"),
    "on_disconnect": _tells(("connection_close",), _ENDS),
    "on_publish_done": _tells(("publish_stop",), _ENDS),
    "on_play_done": _tells(("play_stop",), _ENDS),
    "on_done": _tells(("publish_stop", "play_stop"), _ENDS),
    "on_update": _updates,
    "on_record_done": lambda scope, one: _tells(_of_files(scope), f"{_ENDS}; data.path is the file")(scope, one),
    "notify_update_timeout": _sets_app("update_interval"),
    "notify_method": _absent("webhooks and callbacks are POST requests with JSON"),
    "notify_update_strict": _absent("the answer to session_update ends no session"),
    "notify_relay_redirect": _absent("an answer that redirects is none; push in [apps] names destinations"),
    "exec_publish": _runs("publish_start"),
    "exec_publish_done": _runs("publish_stop"),
    "exec_play": _runs("play_start"),
    "exec_play_done": _runs("play_stop"),
    "exec_record_done": lambda scope, one: _runs(*_of_files(scope))(scope, one),
    **dict.fromkeys(("exec", "exec_push", "exec_pull", "exec_static"), _absent(_KEPT)),
    **dict.fromkeys(("exec_options", "exec_kill_signal", "respawn", "respawn_timeout"), _absent(_KEPT)),
    "push": _push,
    "push_reconnect": _sets_app("push_retry", "each further wait is twice as long, up to push_retry_max"),
    **dict.fromkeys(("pull", "pull_reconnect"), _absent(_PULL)),
    **dict.fromkeys(("session_relay", "relay_buffer", "record_unique", "record_lock"), _nothing),
    "record": _record,
    "record_path": _sets_app("record_dir"),
    "record_suffix": _record_suffix,
    "record_append": _record_append,
    "record_max_size": _sets_app("record_max_size", "it ends the recording with all its files"),
    "record_interval": _sets_app("segment_duration", "a file ends at the next keyframe"),
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
