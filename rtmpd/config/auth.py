"""How webhooks authenticate: the [[[auth]]] sections of a hook of the files, and the flags for those of the command
line. What only the cryptography can tell is left to a function that is given."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from ..errors import CredentialError
from ..settings import AuthSettings, HookSettings, HttpSettings
from .check import Checked, Values
from .entries import AuthFlag, Origin, Path
from .values import BadValue

WEBHOOK = "webhook"
AUTH = "auth"

#: What is weak about one way of authentication, given those before it, the headers and the URL of the hook; raises
#: CredentialError if it cannot be used.
CheckAuth = Callable[[AuthSettings, Sequence[AuthSettings], Sequence[tuple[str, str]], str], str]

_HTTP_KEYS = tuple(field.name for field in fields(HttpSettings))
_TYPES_OF_KEY = {
    "key": ("api_key",),
    "header": ("api_key", "hmac"),
    "secret": ("hmac", "standard", "github", "stripe", "http_signature", "jwt"),
    "secrets": ("standard", "stripe"),
    "algorithm": ("hmac", "http_signature", "jwt"),
    "key_id": ("http_signature",),
    "issuer": ("jwt",),
    "subject": ("jwt",),
    "audience": ("jwt",),
    "claims": ("jwt",),
    "ttl": ("jwt",),
    "client_id": ("oauth2",),
    "client_secret": ("oauth2",),
    "token_url": ("oauth2",),
    "scopes": ("oauth2",),
    "client_auth": ("oauth2",),
    "username": ("basic",),
    "password": ("basic",),
}
#: The flag without which the others of its type say nothing.
_MAIN_FLAG = {"api_key": "api-key", "hmac": "hmac-secret", "jwt": "jwt-secret", "oauth2": "oauth2-client-id"}


def http_of_section(checked: Checked, path: Path, type: str, values: Values) -> HttpSettings:
    """The way out of one [[hook]]; what is wrong with it goes to ``checked``. Looks at the files it names."""
    given = {key: values[key] for key in _HTTP_KEYS if key in values}
    if type != WEBHOOK:
        for key in given:
            checked.problem((*path, key), f"is for type = {WEBHOOK}", f"this hook has type = {type}")
        return HttpSettings()
    if given.get("client_key") and not given.get("client_cert"):
        checked.problem((*path, "client_key"), "is of no use without client_cert", "name the certificate too")
    http = HttpSettings(**_default_networks(checked) | given)
    _check_certificates(checked, path, http)
    return http


def _default_networks(checked: Checked) -> Values:
    return {key: checked.value("hooks", key) for key in ("allow_networks", "deny_networks")}


def _check_certificates(checked: Checked, path: Path, http: HttpSettings) -> None:
    """Load them as each connection will. There nobody could type the passphrase that a key may want."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if http.client_cert and _are_readable(checked, path, http, "client_cert", "client_key"):
        try:
            context.load_cert_chain(http.client_cert, http.client_key or None, password="")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            hint = "name a certificate and its own key, in PEM and without a passphrase"
            checked.problem((*path, "client_cert"), f"cannot be used with its key: {reason}", hint)
    key = http.client_key or http.client_cert
    if key and os.path.isfile(key) and os.stat(key).st_mode & stat.S_IROTH:
        text = f"{key} holds a private key, and everybody can read it"
        checked.warning((*path, "client_key" if http.client_key else "client_cert"), text, f"chmod o-r {key}")
    if http.ca_file and _are_readable(checked, path, http, "ca_file"):
        try:
            context.load_verify_locations(http.ca_file)
        except OSError:
            checked.problem((*path, "ca_file"), f"{http.ca_file} holds no certificate", "name a PEM file")


def _are_readable(checked: Checked, path: Path, http: HttpSettings, *keys: str) -> bool:
    readable = True
    for key in keys:
        try:
            if name := getattr(http, key):
                with open(name, "rb"):
                    pass
        except OSError as error:
            checked.problem((*path, key), f"{name}: {error.strerror}", "name a PEM file that rtmpd may read")
            readable = False
    return readable


def auth_of_section(checked: Checked, path: Path, hook: HookSettings, check_auth: CheckAuth) -> HookSettings:
    """The hook with what its [[[auth]]] sections say; what is wrong with them goes to ``checked``."""
    found: list[AuthSettings] = []
    for inner, values in checked.inner(path, AUTH).items():
        if hook.type != WEBHOOK:
            checked.problem(inner, f"is for type = {WEBHOOK}", f"this hook has type = {hook.type}")
            continue
        auth = _auth(checked, inner, values)
        if auth is None:
            continue
        try:
            weak = check_auth(auth, found, hook.http.headers, hook.target)
        except CredentialError as error:
            given = error.key in checked.tree.sections[inner]
            message = str(error) if given else f"{error.key} {error}"
            checked.problem((*inner, error.key) if given else inner, message, error.hint)
            continue
        if weak:
            checked.warning(inner, f"a secret {weak}", "take a longer one")
        found.append(auth)
    return replace(hook, auth=tuple(found))


def _auth(checked: Checked, path: Path, values: Values) -> AuthSettings | None:
    type = values.get("type")
    if type is None:
        if "type" not in checked.tree.sections[path]:
            checked.problem(path, "has no type", "write type = hmac, or another one")
        return None
    right = True
    for key in values:
        if type not in _TYPES_OF_KEY.get(key, (type,)):
            checked.problem((*path, key), f"is for type = {', '.join(_TYPES_OF_KEY[key])}", f"here is type = {type}")
            right = False
    whole = all(key in values for key in checked.tree.sections[path])  # the others have been complained about
    options = {key: checked.spec.hook_option(key, AUTH) for key in values}
    return AuthSettings(**{options[key].field: value for key, value in values.items()}) if right and whole else None


class CommandLineAuth:
    """What the flags say, for every webhook of the command line. Headers and claims of repeated flags come together,
    of other flags the last one holds."""

    def __init__(self, checked: Checked, flags: Sequence[AuthFlag], check_auth: CheckAuth) -> None:
        self._checked = checked
        self.check_auth = check_auth
        self._values: dict[str, dict[str, Any]] = {}
        self._origins: dict[tuple[str, str], Origin] = {}
        for flag in flags:
            self._take(flag)
        self._headers: tuple[tuple[str, str], ...] = self._values.pop("", {}).get("headers", ())
        self._auth = [AuthSettings(type, **values) for type, values in self._values.items() if self._is_whole(type)]

    def applied(self, hooks: Sequence[HookSettings]) -> list[HookSettings]:
        """The hooks of the command line with what the flags add to the webhooks among them."""
        webhooks = [hook for hook in hooks if hook.type == WEBHOOK]
        self._check([hook.target for hook in webhooks] or [""])
        if not webhooks:
            for origin in self._origins.values():
                self._checked.warnings.append(origin.problem((), "is for no hook", "it is for webhooks of the flags"))
        http = HttpSettings(headers=self._headers, **_default_networks(self._checked))
        auth = tuple(self._auth)
        return [replace(hook, auth=auth, http=http) if hook.type == WEBHOOK else hook for hook in hooks]

    def _take(self, flag: AuthFlag) -> None:
        origin = self._origins[flag.type, flag.key] = flag.entry.origin
        option = self._checked.spec.hook_option(flag.key, *([AUTH] if flag.type else []))
        try:
            value = option.check(flag.entry.value)
        except BadValue as error:
            self._checked.problems.append(origin.problem((), str(error), error.hint))
            return
        values = self._values.setdefault(flag.type, {})
        if flag.key in ("headers", "claims"):
            value = (*values.get(option.field, ()), *value)
        values[option.field] = value

    def _is_whole(self, type: str) -> bool:
        """Whether the flag is there that the others of the type belong to."""
        main = f"hook-auth-{_MAIN_FLAG[type]}"
        origins = {key: origin for (of, key), origin in self._origins.items() if of == type}
        if any(origin.where.lstrip("-") == main for origin in origins.values()):
            return True
        for origin in origins.values():
            self._checked.problems.append(origin.problem((), f"needs -{main} too", f"add -{main}"))
        return False

    def _check(self, urls: Sequence[str]) -> None:
        weak = set()
        for url in urls:
            for at, auth in enumerate(self._auth):
                origin = next(origin for (type, _), origin in self._origins.items() if type == auth.type)
                try:
                    if said := self.check_auth(auth, self._auth[:at], self._headers, url):
                        weak.add((origin, said))
                except CredentialError as error:
                    given = self._origins.get((auth.type, error.key))
                    message = str(error) if given or error.key == "type" else f"{error.key} {error}"
                    self._checked.problems.append((given or origin).problem((), message, error.hint))
                    return
        for origin, said in weak:
            self._checked.warnings.append(origin.problem((), said, "take a longer one"))
