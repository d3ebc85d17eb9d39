"""mediamtx.yml: the options of RTMP, the authentication callback, and the ``runOn...`` commands of its paths."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from . import scripts
from .documents import Node, read
from .draft import Draft, literal

_Take = Callable[[Draft, str, Node], None]

_APPS = ("apps",)
_OTHER_OUTPUT = "rtmpd takes and serves RTMP only"
_RECORDING = "recordings are FLV files: record and what begins with it in [apps], segment_complete tells of each"
_RELAY = "rtmpd fetches no streams"
_ENDS = "the command runs once, for at most the timeout of its hook; MediaMTX ends it with what it is for"
_LOCAL = "rtmpd has no such option"

#: The event of each command.
_COMMANDS = {
    "runOnConnect": "connection_accept",
    "runOnDisconnect": "connection_close",
    "runOnReady": "publish_start",
    "runOnNotReady": "publish_stop",
    "runOnOnline": "publish_start",
    "runOnOffline": "publish_stop",
    "runOnAvailable": "stream_create",
    "runOnUnavailable": "stream_delete",
    "runOnRead": "play_start",
    "runOnUnread": "play_stop",
}
_VARIABLES = {
    "MTX_PATH": '"${RTMP_STREAM_KEY:-}"',
    "MTX_QUERY": '"${RTMP_QUERY:-}"',
    "MTX_CONN_ID": '"${RTMP_CONN_ID:-}"',
    "MTX_SOURCE_ID": '"${RTMP_CONN_ID:-}"',
    "MTX_READER_ID": '"${RTMP_CONN_ID:-}"',
    "MTX_CONN_TYPE": "rtmpConn",
    "MTX_SOURCE_TYPE": "rtmpConn",
    "MTX_READER_TYPE": "rtmpConn",
    "RTSP_PATH": '"${RTMP_STREAM_KEY:-}"',
}
_NOT_RTMP = ("rtsp", "hls", "webrtc", "srt", "moq", "playback", "pprof", "rpi", "udp")
_ACTIONS = {"publish": "publish", "read": "play"}
_EVERY_PATH = ("all", "all_others", "~^.*$")


def migrate(path: str) -> Draft:
    """What the file says of RTMP. Raises ConfigError. Waits for the disk."""
    draft = Draft(path)
    root = read(path)
    tree = dict(root)
    if tree.get("authMethod", Node("", "internal")).text != "internal":
        tree.pop("authInternalUsers", None)
    encryption = tree.pop("rtmpEncryption", Node("", "no")).text
    if encryption == "strict":
        draft.put(("server",), "listen", [], root.where)
        tree.pop("rtmpAddress", None)
    elif encryption != "optional":
        for key in ("rtmpsAddress", "rtmpServerCert", "rtmpServerKey"):
            tree.pop(key, None)
    for key, node in tree.items():
        _top(draft, key, node)
    return draft


def _top(draft: Draft, key: str, node: Node) -> None:
    if take := _TOP.get(key):
        take(draft, key, node)
    elif key in _COMMANDS:
        _command(draft, key, node, "")
    elif key == "pathDefaults":
        _path(draft, "", node)
    elif key == "paths":
        for name, one in node:
            _path(draft, name, one)
    elif key.startswith(_NOT_RTMP):
        if node.text not in ("no", "false", "off") and key in _NOT_RTMP:
            draft.absent(node.where, key, _OTHER_OUTPUT)
    else:
        draft.absent(node.where, key, "rtmpd migrate does not know this key")


def _path(draft: Draft, name: str, block: Node) -> None:
    """A path is a stream key here, or a regular expression of such."""
    for key, node in block:
        if key in _COMMANDS:
            _command(draft, key, node, name)
        elif key.endswith("Restart"):
            continue
        elif key == "maxReaders":
            _max_readers(draft, name, node)
        elif key == "overridePublisher":
            if not name:
                value = "replace" if node.text in ("yes", "true") else "reject"
                draft.put(_APPS, "publish_conflict", value, node.where)
            else:
                draft.absent(node.where, key, "publish_conflict is of an application, not of a stream")
        elif key.startswith(("record", "runOnRecord")):
            if key != "record" or node.text in ("yes", "true"):
                draft.absent(node.where, key, _RECORDING)
        elif key == "source" and node.text == "publisher":
            draft.carried += 1
        elif key.startswith(("source", "rpi")):
            draft.absent(node.where, key, _RELAY)
        elif key in ("runOnInit", "runOnDemand", "runOnUnDemand"):
            if node.text:
                draft.absent(node.where, key, "rtmpd starts no sources; stream_not_found tells that one is wanted")
        else:
            draft.absent(node.where, key, _LOCAL)


def _max_readers(draft: Draft, name: str, node: Node) -> None:
    if name:
        draft.absent(node.where, "maxReaders", "max_players is of an application, for each of its streams")
    else:
        draft.put(_APPS, "max_players", node.text, node.where)


def _command(draft: Draft, key: str, node: Node, path: str) -> None:
    if not node.text:
        return
    try:
        words = shlex.split(node.text)
    except ValueError as error:
        draft.absent(node.where, key, f"the command can not be read: {error}")
        return
    hook = draft.hook(f"{path}-{key}" if path and path not in _EVERY_PATH else key)
    draft.put(hook, "type", "script", node.where)
    draft.put(hook, "event_types", _COMMANDS[key], node.where)
    _patterns(draft, hook, path, node)
    draft.put(hook, "path", scripts.add(draft, hook[-1], words, _VARIABLES, node.where), node.where)
    draft.differs(node.where, key, _ENDS)


def _patterns(draft: Draft, hook: tuple[str, ...], path: str, node: Node) -> None:
    if path.startswith("~") and path not in _EVERY_PATH:
        draft.put(hook, "conditions", [f'stream_key ~ "{literal(path[1:])}"'], node.where)
    elif path and path not in _EVERY_PATH:
        draft.put(hook, "stream_patterns", literal(path), node.where)


# --- one kind of key each -----------------------------------------------------------------------


def _sets(section: str, key: str, text: str = "") -> _Take:
    def take(draft: Draft, name: str, node: Node) -> None:
        draft.put((section,), key, literal(node.text), node.where)
        if text:
            draft.differs(node.where, name, text)

    return take


def _absent(text: str) -> _Take:
    return lambda draft, name, node: draft.absent(node.where, name, text)


def _unless_off(text: str) -> _Take:
    def take(draft: Draft, name: str, node: Node) -> None:
        if node.text not in ("no", "false", "off", ""):
            draft.absent(node.where, name, text)

    return take


def _nothing(draft: Draft, name: str, node: Node) -> None:
    """What rtmpd does anyway, or needs not."""


def _rtmp(draft: Draft, name: str, node: Node) -> None:
    if node.text in ("no", "false"):
        draft.absent(node.where, name, "rtmpd without RTMP is nothing")


def _auth_method(draft: Draft, name: str, node: Node) -> None:
    if node.text == "jwt":
        for action in ("publish", "play"):
            draft.put(_APPS, f"{action}_access", "jwt", node.where)
        text = "claims are app, name and action, and keys stand in jwt_keys of [access]: docs/access.md"
        draft.differs(node.where, name, text)


def _auth_url(draft: Draft, name: str, node: Node) -> None:
    if not node.text:
        return
    for action in ("publish", "play"):
        draft.put(_APPS, f"{action}_access", "callback", node.where)
    draft.put(_APPS, "callback_url", literal(node.text), node.where)
    text = "the question has token, of the query, instead of user, password and query; remote_addr instead of ip"
    draft.differs(node.where, name, f"{text}; stream_key instead of path; only 200 admits")


def _users(draft: Draft, name: str, node: Node) -> None:
    """Passwords become tokens. An action that nobody may is left without one, which ``rtmpd -t`` complains about."""
    for theirs, action in _ACTIONS.items():
        tokens, is_open = [], False
        for user in node.items:
            fields = dict(user)
            for path in _paths(fields.get("permissions", Node("")), theirs):
                password = fields.get("pass", Node("")).text
                if path.startswith("~") or (password and ":" in password):
                    text = f"{path or 'the password'} can not be carried over; use token_file of [access]"
                    draft.absent(user.where, name, text)
                elif password:
                    tokens.append(literal(f"{fields['user'].text}:{password} {path}".strip()))
                else:
                    is_open = True
        draft.put(_APPS, f"{action}_access", "open" if is_open else "token", node.where)
        if tokens:
            draft.put(_APPS, f"{action}_tokens", tokens, node.where)
            draft.differs(node.where, name, f"a password is a token here, and sent as ?token= to {action}")


def _paths(permissions: Node, action: str) -> list[str]:
    """What an action is permitted for; "" is everything."""
    given = [dict(one) for one in permissions.items]
    return [one.get("path", Node("")).text for one in given if one.get("action", Node("")).text == action]


_TOP: dict[str, _Take] = {
    "rtmp": _rtmp,
    "rtmpAddress": _sets("server", "listen"),
    "rtmpsAddress": _sets("server", "tls_listen"),
    "rtmpServerCert": _sets("server", "tls_cert"),
    "rtmpServerKey": _sets("server", "tls_key"),
    "readTimeout": _sets("limits", "publisher_timeout"),
    "writeTimeout": _sets("apps", "send_timeout"),
    "writeQueueSize": _absent("queues are bounded in bytes and in time: backlog_size, backlog_time"),
    "logLevel": _sets("log", "level"),
    "logFile": _absent("set file in [log] if logs shall go to one"),
    "logDestinations": _absent("logs go to standard error, or to file in [log]"),
    "logStructured": _nothing,
    "sysLogPrefix": _nothing,
    "authMethod": _auth_method,
    "authHTTPAddress": _auth_url,
    "authHTTPExclude": _absent("publish and play are asked about, nothing else"),
    "authInternalUsers": _users,
    "authJWTJWKS": _absent("public keys stand in jwt_keys of [access]"),
    "authJWTClaimKey": _absent("claims are app, name and action: docs/access.md"),
    "metrics": _unless_off("/metrics of [http]: docs/metrics.md"),
    "metricsAddress": _nothing,
    "api": _unless_off("another API: [http], docs/control.md"),
    "apiAddress": _nothing,
    "runOnConnectRestart": _nothing,
}
