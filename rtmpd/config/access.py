"""Checks of access options: reads the token file, and checks that each mode has its keys or tokens."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator

from .. import textfile
from ..errors import CredentialError, Problem
from ..settings import (
    ACTIONS,
    MODE_CALLBACK,
    MODE_FILE,
    MODE_JWT,
    MODE_OPEN,
    MODE_SIGNED,
    MODE_TOKEN,
    PUBLISH,
    AccessSettings,
    AppSettings,
    AppsSettings,
    TokenSettings,
)
from ..textfile import TextFileError
from .check import Checked
from .entries import Path
from .grants import token, token_of_stream
from .values import BadValue

#: What is weak about a key of jwt_algorithm, "" if nothing is; raises CredentialError if it cannot be used.
CheckKey = Callable[[str, str], str]

TOKEN_BYTES = 16
KEY_BYTES = 32
FILE_BYTES = 16 * 1024 * 1024

_HASHED = "sha256:"


def build(checked: Checked, apps: AppsSettings, check_key: CheckKey) -> AccessSettings:
    """[access] with the content of its token file; what is wrong with it goes to ``checked``, as does what the
    applications lack for their modes."""
    fields = checked.fields("access")
    tokens = _tokens_of_file(checked, fields["token_file"]) if fields["token_file"] else ()
    settings = AccessSettings(**fields, file_tokens=tokens)
    _check_app(checked, ("apps",), apps.default, settings)
    for name, app in apps.named:
        _check_app(checked, ("apps", name), app, settings)
    _check_jwt_keys(checked, settings, check_key)
    _check_authorities(checked, settings.callback_ca_file)
    if any(len(_bytes(key)) < KEY_BYTES for key in settings.signing_keys):
        checked.warning(
            ("access", "signing_keys"), f"has one of less than {KEY_BYTES} bytes", "take openssl rand -hex 32"
        )
    if settings.failure_delay_max_s < settings.failure_delay_s:
        checked.problem(("access", "failure_delay_max"), "is smaller than failure_delay", "it is the longest delay")
    return settings


# --- the token file -----------------------------------------------------------------------------


def _tokens_of_file(checked: Checked, path: str) -> tuple[TokenSettings, ...]:
    where = ("access", "token_file")
    try:
        file = textfile.read(path, FILE_BYTES)
    except TextFileError as error:
        many = "larger" in str(error)
        hint = "use the mode callback or jwt for so many" if many else "name a file that rtmpd may read"
        checked.problem(where, f"{path}: {error}", hint)
        return ()
    if file.is_exposed:
        checked.warning(where, f"{path} can be read by everybody", f"chmod o-r {path}")
    if file.text.lstrip().startswith("{"):
        tokens = tuple(_tokens_of_json(checked, path, file.text))
    else:
        tokens = tuple(_tokens_of_lines(checked, path, file.lines()))
    _warn_if_short(checked, where, tokens)
    return tokens


def _tokens_of_json(checked: Checked, path: str, text: str) -> Iterator[TokenSettings]:
    """The form of go-rtmp: an object of stream keys and their tokens."""
    try:
        found = json.loads(text)
        if not all(isinstance(secret, str) for secret in found.values()):
            raise ValueError("a token is not a text")
    except ValueError as error:
        checked.problem(("access", "token_file"), f"{path} is not a JSON object of streams and tokens: {error}")
        return
    for stream, secret in found.items():
        try:
            yield token_of_stream(stream, secret)
        except BadValue as error:
            checked.problem(("access", "token_file"), f"{path}: {stream}: {error}", error.hint)


def _tokens_of_lines(checked: Checked, path: str, lines: list[str]) -> Iterator[TokenSettings]:
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            yield token(line)
        except BadValue as error:
            checked.problems.append(Problem(f"{path}:{number}", "access.token_file", str(error), hint=error.hint))


# --- what the modes need ------------------------------------------------------------------------


def _check_app(checked: Checked, path: Path, app: AppSettings, settings: AccessSettings) -> None:
    given = checked.given.get(path, {})
    for action in ACTIONS:
        modes, tokens = _of(app, action)
        needs = {
            MODE_TOKEN: (f"{action}_tokens", bool(tokens)),
            MODE_FILE: ("token_file in [access]", bool(settings.token_file)),
            MODE_SIGNED: ("signing_keys in [access]", bool(settings.signing_keys)),
            MODE_JWT: ("jwt_keys in [access]", bool(settings.jwt_keys)),
            MODE_CALLBACK: ("callback_url", bool(_callback_url(app, action))),
        }
        about = {f"{action}_access", f"{action}_tokens", "callback_url", "play_callback_url"}
        own = len(path) == 1 or about & set(given)
        key = (*path, f"{action}_access")
        for mode in modes if own else ():
            if mode in needs and not needs[mode][1]:
                checked.problem(key, f"has {mode} but there is nothing to check with", f"set {needs[mode][0]}")
        if own and MODE_OPEN in modes and len(modes) > 1:
            checked.warning(key, "has open beside others, so everybody is admitted", "leave open out")
        if f"{action}_tokens" in given:
            _warn_if_short(checked, (*path, f"{action}_tokens"), tokens)


def _of(app: AppSettings, action: str) -> tuple[tuple[str, ...], tuple[TokenSettings, ...]]:
    if action == PUBLISH:
        return app.publish_access, app.publish_tokens
    return app.play_access, app.play_tokens


def _callback_url(app: AppSettings, action: str) -> str:
    return app.callback_url if action == PUBLISH else app.play_callback_url or app.callback_url


def _warn_if_short(checked: Checked, path: Path, tokens: tuple[TokenSettings, ...]) -> None:
    short = [t.identity for t in tokens if not t.token.startswith(_HASHED) and len(_bytes(t.token)) < TOKEN_BYTES]
    if short:
        text = f"has tokens of less than {TOKEN_BYTES} bytes: {', '.join(short[:5])}"
        checked.warning(path, text, "take openssl rand -hex 16")


def _check_jwt_keys(checked: Checked, settings: AccessSettings, check_key: CheckKey) -> None:
    for key in settings.jwt_keys:
        try:
            weak = check_key(settings.jwt_algorithm, key)
        except CredentialError as error:
            checked.problem(("access", error.key), str(error), error.hint)
            return
        if weak:
            checked.warning(("access", "jwt_keys"), f"has one that is short: {weak}", "take a longer one")


def _check_authorities(checked: Checked, path: str) -> None:
    try:
        if path:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        reason = "holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        checked.problem(("access", "callback_ca_file"), f"{path}: {reason}", "name a PEM file that rtmpd may read")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
