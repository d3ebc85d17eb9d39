"""mediamtx.yml: the options of RTMP, the authentication callback, and the ``runOn...`` commands of its paths."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network

from . import scripts
from .documents import Node, read
from .draft import DIFFERS, Draft, literal

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
_EVERY_PATH = ("all", "all_others", "~^.*$", "~.*", "~^.+$", "~.+", "~^", "~")
_WHOLE_APP = re.compile(r"~\^([\w-]+)/\(?\.[*+]\)?\$?")
_OLD_RULES = ("publishUser", "publishPass", "publishIPs", "readUser", "readPass", "readIPs")
_PLAIN_SECRET = re.compile(r"[!$-&(-+\--~]+")  # printable, without quotes, # and comma
_NO_PATHS = (
    "is not in the file: MediaMTX takes no stream then, unless its environment names paths (MTX_PATHS_...); rtmpd "
    "serves every application"
)
_KEY = "a stream key of rtmpd is APP/NAME: clients of {0} have to use {0}/NAME"


def migrate(path: str) -> Draft:
    """What the file says of RTMP. Raises ConfigError. Waits for the disk."""
    draft = Draft(path)
    root = read(path)
    tree = dict(root)
    if "externalAuthenticationURL" in tree:  # of versions before 1.9
        tree.setdefault("authHTTPAddress", tree.pop("externalAuthenticationURL"))
        tree.setdefault("authMethod", Node(tree["authHTTPAddress"].where, "http"))
    _access(draft, root, tree)
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
        elif key.endswith("Restart") or key in _OLD_RULES:
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
        draft.absent(node.where, key, f"the command cannot be read: {error}")
        return
    hook = draft.hook(f"{path}-{key}" if path and path not in _EVERY_PATH else key)
    draft.put(hook, "type", "script", node.where)
    draft.put(hook, "event_types", _COMMANDS[key], node.where)
    _patterns(draft, hook, path, node)
    script = scripts.add(draft, hook[-1], words, _VARIABLES, node.where, exported=True)
    if not script:
        draft.give_up(hook)
        return
    draft.put(hook, "path", script, node.where)
    draft.differs(node.where, key, _ENDS)


def _patterns(draft: Draft, hook: tuple[str, ...], path: str, node: Node) -> None:
    if path.startswith("~") and path not in _EVERY_PATH:
        draft.put(hook, "conditions", [f'stream_key ~ "{literal(path[1:])}"'], node.where)
    elif path and path not in _EVERY_PATH:
        if "/" not in path:
            draft.differs(node.where, path, f"{_KEY.format(path)}, and the hook is for all of these")
            path = f"{path}/*"
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
    if node.text in ("no", "false", "off"):
        draft.refuse(_APPS, ("publish", "play"), node.where, name, "rtmpd without RTMP is nothing")


# --- who may publish and read -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Grant:
    """One permission for one action: who has to say what (``password`` "": nothing), from where (``ips`` empty: from
    everywhere), for which path ("" is every path)."""

    where: str
    user: str
    password: str
    ips: tuple[str, ...]
    path: str


def _access(draft: Draft, root: Node, tree: dict[str, Node]) -> None:
    """Who may, by ``authMethod``, the users or the credentials of paths, and by the paths that there are."""
    method = tree.pop("authMethod", Node(root.where, "internal"))
    users, url = tree.pop("authInternalUsers", None), tree.pop("authHTTPAddress", None)
    old = [key for _, block in _path_blocks(tree) for key, _ in block if key in _OLD_RULES]
    if "paths" not in tree:
        draft.differs(root.where, "paths", _NO_PATHS)
    for theirs, action in _ACTIONS.items():
        if method.text == "jwt":
            text = "rtmpd does not read mediamtx_permissions; tokens need the claims app, name, action (docs/access.md)"
            draft.refuse(_APPS, [action], method.where, "authMethod", text)
        elif method.text == "http":
            _ask(draft, action, method, url)
        elif method.text not in ("internal", ""):
            draft.refuse(_APPS, [action], method.where, "authMethod", f"rtmpd does not know the method {method.text}")
        else:
            grants = _old_grants(tree, theirs) if old else _grants(users, theirs, root.where)
            _admit(draft, action, grants, users.where if users else root.where)
        _confine(draft, action, tree)


def _path_blocks(tree: dict[str, Node]) -> list[tuple[str, Node]]:
    """Every block of a path by its name; "" are the defaults."""
    return [("", tree.get("pathDefaults", Node(""))), *tree.get("paths", Node(""))]


def _ask(draft: Draft, action: str, method: Node, url: Node | None) -> None:
    if url is None or not url.text:
        draft.refuse(_APPS, [action], method.where, "authMethod", "is http, and there is no authHTTPAddress")
        return
    draft.put(_APPS, f"{action}_access", "callback", url.where)
    draft.put(_APPS, "callback_url", literal(url.text), url.where)
    text = "the question has token, of the query, instead of user, password and query; remote_addr instead of ip"
    draft.differs(url.where, "authHTTPAddress", f"{text}; stream_key instead of path; only 200 admits")


def _grants(users: Node | None, action: str, where: str) -> list[_Grant]:
    """The permissions of authInternalUsers; without it everybody may."""
    if users is None:
        return [_Grant(where, "any", "", (), "")]
    found = []
    for user in users.items:
        fields = dict(user)
        for permission in fields.get("permissions", Node("")).items:
            asked = dict(permission)
            if asked.get("action", Node("")).text == action:
                found.append(_grant(user.where, fields, "user", "pass", "ips", asked.get("path", Node("")).text))
    return found


def _old_grants(tree: dict[str, Node], action: str) -> list[_Grant]:
    """The credentials of paths, as versions before 1.9 had them: each is for its own path."""
    blocks = _path_blocks(tree)
    defaults = dict(blocks[0][1])
    keys = (f"{action}User", f"{action}Pass", f"{action}IPs")
    return [
        _grant(block.where, {**defaults, **dict(block)}, *keys, "" if name in _EVERY_PATH else name)
        for name, block in blocks[1:]
    ]


def _grant(where: str, fields: dict[str, Node], user: str, password: str, ips: str, path: str) -> _Grant:
    found = [fields.get(key, Node("")) for key in (user, password, ips)]
    return _Grant(where, found[0].text or "any", found[1].text, tuple(found[2].texts()), path)


def _admit(draft: Draft, action: str, grants: Sequence[_Grant], where: str) -> None:
    """Passwords become tokens. A permission with a condition that rtmpd cannot ask for is left out: then somebody who
    got in does not, never the other way round."""
    if not grants:
        draft.refuse(_APPS, [action], where, "authInternalUsers", f"no user may {action}", DIFFERS)
        return
    usable = [kept for grant in grants if (kept := _usable(draft, action, grant))]
    usable = _of_one_network(draft, action, usable)
    free = next((grant for grant in usable if not grant.password), None)
    tokens = [] if free else _tokens(draft, usable)
    if not tokens and not free:
        text = f"none of the permissions to {action} can be carried over"
        draft.refuse(_APPS, [action], where, "authInternalUsers", text)
        return
    if usable[0].ips:
        draft.put(_APPS, f"{action}_allow", usable[0].ips, usable[0].where)
    draft.put(_APPS, f"{action}_access", "open" if free else "token", free.where if free else where)
    if tokens:
        draft.put(_APPS, f"{action}_tokens", tokens, where)
        draft.differs(where, "authInternalUsers", f"a password is a token here, and sent as ?token= to {action}")


def _usable(draft: Draft, action: str, grant: _Grant) -> _Grant | None:
    """The permission with its path as a glob, None if it cannot be carried over, which is noted."""
    path = "" if grant.path in _EVERY_PATH else grant.path
    reason = ""
    if whole := _WHOLE_APP.fullmatch(path):
        path = f"{whole[1]}/*"
    elif path.startswith("~"):
        reason = f"{path} is a regular expression"
    elif path and "/" not in path:
        reason = _KEY.format(path)
    elif set(path) & set("*?[]") or path.split() != ([path] if path else []):
        reason = f"{path} has signs that a glob reads otherwise"
    if path and not grant.password:
        reason = reason or f"without a password, rtmpd cannot tell {path} from other streams"
    if not grant.password and grant.user != "any":
        reason = "a name without a password is not a token"
    if grant.password.startswith("argon2:"):
        reason = "rtmpd has no argon2; a token can be sha256: and the hex of its digest"
    for address in grant.ips:
        try:
            ip_network(address)
        except ValueError:
            reason = f"{address} is not a network"
    if reason:
        draft.absent(grant.where, f"{grant.user} may {action}", f"{reason}; this permission is left out")
        return None
    return replace(grant, path=path)


def _of_one_network(draft: Draft, action: str, grants: Sequence[_Grant]) -> list[_Grant]:
    """The permissions for the same addresses: rtmpd asks for a token and an address, not for pairs of them."""
    if not grants:
        return []
    everywhere = any(not grant.ips for grant in grants)
    ips = () if everywhere else grants[0].ips
    for grant in grants:
        if set(grant.ips) != set(ips):
            text = "rtmpd has one list of addresses for an action; this permission has another and is left out"
            draft.absent(grant.where, f"{grant.user} may {action}", text)
    return [grant for grant in grants if set(grant.ips) == set(ips)]


def _tokens(draft: Draft, grants: Iterable[_Grant]) -> list[str]:
    found, owners = [], dict[str, str]()
    for grant in grants:
        secret = _secret(grant.password)
        if not secret:
            draft.absent(grant.where, grant.user, "the digest of the password is not Base64 of SHA-256; it is left out")
        elif owners.setdefault(secret, grant.user) != grant.user:
            text = f"has the password of {owners[secret]}, and a token is of one user; it is left out"
            draft.absent(grant.where, grant.user, text)
        else:
            identity = re.sub(r"[^\w.@-]", "_", grant.user.partition(":")[0])
            found.append(literal(f"{identity}:{secret} {grant.path}".strip()))
    return found


def _secret(password: str) -> str:
    """The password as a token, or a digest of it, "" if it is a digest that cannot be read."""
    if password.startswith("sha256:"):
        try:
            digest = base64.b64decode(password.removeprefix("sha256:"), validate=True)
        except (binascii.Error, ValueError):
            return ""
        return f"sha256:{digest.hex()}" if len(digest) == hashlib.sha256().digest_size else ""
    if _PLAIN_SECRET.fullmatch(password):
        return password
    return f"sha256:{hashlib.sha256(password.encode('utf-8', 'surrogateescape')).hexdigest()}"


def _confine(draft: Draft, action: str, tree: dict[str, Node]) -> None:
    """MediaMTX takes no path that is not configured. rtmpd has no list of names: whole applications can be written,
    single names only for tokens."""
    paths = tree.get("paths")
    if paths is None or any(name in _EVERY_PATH for name, _ in paths):
        return
    names = [name for name, _ in paths]
    apps = {match[1] for name in names if (match := _WHOLE_APP.fullmatch(name))}
    keys = [name for name in names if not name.startswith("~") and "/" in name]
    single = [name for name in keys if name.partition("/")[0] not in apps]
    served = sorted(apps | {name.partition("/")[0] for name in single})
    draft.put(_APPS, "served", [literal(app) for app in served], paths.where)
    for name, node in paths:
        if not _WHOLE_APP.fullmatch(name) and name not in single and name.partition("/")[0] not in apps:
            text = "a regular expression of paths" if name.startswith("~") else _KEY.format(name)
            draft.absent(node.where, name, f"{text}; it is not served")
    tokens = draft.get(_APPS, f"{action}_tokens")
    if draft.get(_APPS, f"{action}_access") == "token" and tokens:
        kept = list(_confined(tokens, apps, single))
        draft.drop(_APPS, f"{action}_tokens")
        if kept:
            draft.put(_APPS, f"{action}_tokens", kept, paths.where)
            return
        draft.drop(_APPS, f"{action}_access")
        apps = set()
    if (single or not apps) and not draft.is_refused(_APPS, action):
        text = "MediaMTX takes the configured paths only, and rtmpd cannot tell them from others of their applications"
        draft.refuse(_APPS, [action], paths.where, "paths", text)


def _confined(tokens: Sequence[str], apps: set[str], single: Sequence[str]) -> Iterable[str]:
    """Tokens for what both they and the paths are for."""
    for token in [tokens] if isinstance(tokens, str) else tokens:
        grant, _, streams = token.partition(" ")
        if streams.endswith("/*"):
            app = streams.removesuffix("/*")
            wanted = [streams] if app in apps else [name for name in single if name.partition("/")[0] == app]
        elif streams:
            wanted = [streams] if streams in single or streams.partition("/")[0] in apps else []
        else:
            wanted = [*(f"{app}/*" for app in sorted(apps)), *single]
        yield from (f"{grant} {name}" for name in wanted)


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
    "logFile": _absent("set file in [log] to write logs to a file"),
    "logDestinations": _absent("logs go to standard error, or to file in [log]"),
    "logStructured": _nothing,
    "sysLogPrefix": _nothing,
    "authHTTPExclude": _absent("each publish and each play is asked about"),
    "authJWTJWKS": _absent("public keys stand in jwt_keys of [access]"),
    "authJWTClaimKey": _absent("claims are app, name and action: docs/access.md"),
    "metrics": _unless_off("/metrics of [http]: docs/metrics.md"),
    "metricsAddress": _nothing,
    "api": _unless_off("another API: [http], docs/control.md"),
    "apiAddress": _nothing,
    "runOnConnectRestart": _nothing,
}
