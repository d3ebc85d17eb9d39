"""For receivers of webhooks: is this request from rtmpd, and if not, what is wrong with it?

    from rtmpd.hook.verify import VerificationError, verify

    try:
        verify(request.headers, request.body, secret, scheme="standard")
    except VerificationError as error:
        ...  # 401, and the log says what the mistake is

Needs nothing but the standard library (for Ed25519 ``cryptography``), and no running rtmpd. The body is the bytes as
they came: a body that was parsed and written again has another signature. Secrets are compared in constant time.
``verify_command`` does the same for a request that was written to files.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..errors import CredentialError, RtmpdError
from .auth import ed25519
from .auth.signing import DIGESTS, STANDARD_PREFIX, standard_key, text_key
from .auth.signing_http import COVERED, LABEL, content_digest, signature_base

TOLERANCE_S = 300.0


class VerificationError(RtmpdError):
    """The request is not to be trusted. The message names the mistake and holds no secret."""


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secret: str | Iterable[str],
    scheme: str = "standard",
    *,
    header: str = "",
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
    method: str = "POST",
    path: str = "/",
) -> None:
    """Return if the request is one that was signed with ``secret``, or with one of them.

    ``scheme`` is api_key, hmac, standard, github, stripe or http_signature; ``header`` the name of the header for the
    first two, if it is not the usual one; ``method`` and ``path`` (without the query) count for the last one. For
    signatures with Ed25519 the secret is the public key. A time in the signature may be ``tolerance_s`` away from
    ``now`` (Unix seconds, by default the clock). Raises VerificationError.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise VerificationError(f"the body is {type(body).__name__}: give the bytes as they came, before any parser")
    if scheme not in _SCHEMES:
        raise VerificationError(f"no scheme is called {scheme!r}; there are {', '.join(_SCHEMES)}")
    secrets = [secret] if isinstance(secret, str) else list(secret)
    if not secrets or not all(secrets):
        raise VerificationError("no secret was given")
    received = _Received({name.lower(): value for name, value in headers.items()}, bytes(body), header, method, path)
    _SCHEMES[scheme](received, secrets, tolerance_s, time.time() if now is None else now)


class _Received:
    """What came. ``header`` is the name that the receiver expects instead of the usual one."""

    def __init__(self, headers: dict[str, str], body: bytes, header: str, method: str, path: str) -> None:
        self._headers = headers
        self.body = body
        self.method = method
        self.path = path
        self._header = header

    def get(self, usual: str, renamable: bool = False) -> str:
        name = self._header or usual if renamable else usual
        value = self._headers.get(name.lower(), "").strip()
        if not value:
            raise VerificationError(f"the header {name} is missing: is the hook configured to sign in this way?")
        return value

    def bodies(self) -> Iterator[tuple[bytes, str]]:
        """The body, then what it may have been before something on the way changed it."""
        yield self.body, ""
        yield self.body.strip(), "white space was added around the body: verify the bytes as they came"
        try:
            again = json.dumps(json.loads(self.body), ensure_ascii=False, separators=(",", ":")).encode()
        except (ValueError, RecursionError):
            return
        yield again, "the body was parsed and written again: verify the bytes as they came, then parse"


def _api_key(received: _Received, secrets: list[str], tolerance_s: float, now: float) -> None:
    given = received.get("X-API-Key", renamable=True).encode("utf-8", "replace")
    if not any(hmac.compare_digest(given, text_key(secret)) for secret in secrets):
        raise VerificationError("the key is another one")


def _hmac(received: _Received, secrets: list[str], tolerance_s: float, now: float) -> None:
    _plain(received.get("X-Signature", renamable=True), received, secrets)


def _github(received: _Received, secrets: list[str], tolerance_s: float, now: float) -> None:
    _plain(received.get("X-Hub-Signature-256"), received, secrets)


def _plain(value: str, received: _Received, secrets: list[str]) -> None:
    algorithm, equals, signature = value.partition("=")
    if not equals or algorithm not in DIGESTS:
        raise VerificationError("the signature does not begin with sha256= or sha1=")

    def sign(key: bytes, body: bytes) -> str:
        return hmac.new(key, body, DIGESTS[algorithm]).hexdigest()

    keys = [(text_key(secret), "") for secret in secrets]
    keys += [(key, _DECODED) for secret in secrets if (key := _decoded(secret))]
    _compare([signature], keys, received, sign)


def _stripe(received: _Received, secrets: list[str], tolerance_s: float, now: float) -> None:
    parts = [part.strip().partition("=") for part in received.get("Stripe-Signature").split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1:
        raise VerificationError("the header Stripe-Signature has no t=TIME")
    _check_time(times[0], tolerance_s, now)

    def sign(key: bytes, body: bytes) -> str:
        return hmac.digest(key, times[0].encode() + b"." + body, "sha256").hex()

    keys = [(text_key(secret), "") for secret in secrets]
    keys += [(key, _DECODED) for secret in secrets if (key := _decoded(secret))]
    _compare([value for name, _, value in parts if name == "v1"], keys, received, sign)


def _standard(received: _Received, secrets: list[str], tolerance_s: float, now: float) -> None:
    message_id, timestamp = received.get("webhook-id"), received.get("webhook-timestamp")
    signatures = received.get("webhook-signature").split()
    _check_time(timestamp, tolerance_s, now)

    start = f"{message_id}.{timestamp}.".encode("utf-8", "replace")

    def sign(key: bytes, body: bytes) -> str:
        return base64.b64encode(hmac.digest(key, start + body, "sha256")).decode()

    public = [secret for secret in secrets if ed25519.is_public(secret)]
    shared = [secret for secret in secrets if secret not in public]
    try:
        checks = [ed25519.checker(secret) for secret in public]
        keys = [(standard_key(secret), "") for secret in shared]
    except CredentialError as error:
        raise VerificationError(f"the secret {error}: it is {STANDARD_PREFIX} and the base64 of the key") from error
    by_key = [_raw(value.removeprefix("v1a,")) for value in signatures if value.startswith("v1a,")]
    if any(check(signature, start + received.body) for check in checks for signature in by_key):
        return
    given = [value.removeprefix("v1,") for value in signatures if value.startswith("v1,")]
    if by_key and not given and not public:
        raise VerificationError("the sender signs with Ed25519: its public key (whpk_) is needed here, no secret")
    if given and not by_key and not shared:
        raise VerificationError("the sender signs with a shared secret (whsec_), a public key cannot check that")
    keys += [(text_key(secret), _UNDECODED) for secret in shared]
    hinted = [(_by_key(check, by_key, start), "") for check in checks]
    _find([*hinted, *_by_secret(given, keys, sign)], bool(given or by_key), received)


_PARAMETERS = re.compile(rf'{LABEL}=(\((?P<covered>(?:"[@a-z-]+" ?)*)\)(?P<more>(?:;[a-z]+=(?:"[^"]*"|\d+))*))')
_CREATED = re.compile(r";created=(\d+)")


def _http_signature(received: _Received, secrets: list[str], tolerance_s: float, now: float) -> None:
    parameters = _PARAMETERS.fullmatch(received.get("Signature-Input"))
    signature = received.get("Signature")
    created = _CREATED.search(parameters["more"]) if parameters else None
    if parameters is None or created is None or not signature.startswith(f"{LABEL}=:"):
        raise VerificationError(f"the signature is not one of the sender's: no {LABEL}=(...) with a time")
    covered = parameters["covered"].replace('"', "").split()
    if missing := [name for name in COVERED if name not in covered]:
        raise VerificationError(f"the signature does not cover {missing[0]}")
    _check_time(created[1], tolerance_s, now)
    digest = received.get("Content-Digest")
    values = {name: received.get(name) for name in covered if not name.startswith("@") and name in COVERED}
    values |= {"@method": received.method, "@path": received.path}
    if unknown := [name for name in covered if name not in values]:
        raise VerificationError(f"the signature covers {unknown[0]}, which rtmpd does not sign")
    _check_base(signature_base(covered, values, parameters[1]), _raw(signature[len(LABEL) + 2 :].rstrip(":")), secrets)
    for body, hint in received.bodies():
        if _holds([digest], content_digest(body)):
            if hint:
                raise VerificationError(hint)
            return
    raise VerificationError("the body is not what was sent: its digest is another one")


def _check_base(base: bytes, signature: bytes, secrets: list[str]) -> None:
    """Return if it is the signature of ``base`` with one of the secrets, or of the keys that they are."""
    try:
        checks = [ed25519.checker(secret) for secret in secrets if ed25519.is_public(secret)]
    except CredentialError as error:
        raise VerificationError(f"the secret {error}") from error
    shared = [secret for secret in secrets if not ed25519.is_public(secret)]
    if any(hmac.compare_digest(signature, hmac.digest(text_key(secret), base, "sha256")) for secret in shared):
        return
    if any(check(signature, base) for check in checks):
        return
    decoded = [key for secret in shared if (key := _decoded(secret))]
    if any(hmac.compare_digest(signature, hmac.digest(key, base, "sha256")) for key in decoded):
        raise VerificationError(_DECODED)
    raise VerificationError("no signature fits: the secret is another one, or so are method, path or headers")


def _raw(text: str) -> bytes:
    """The bytes of a signature in base64, none if it is not."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""


_DECODED = "the sender takes the secret as it is written, it must not be decoded from base64"
_UNDECODED = "the sender took the text of the secret for the key: it is the base64 behind whsec_ that must be decoded"


def _decoded(secret: str) -> bytes:
    """The key that somebody would get who decodes the secret, b"" if it cannot be."""
    try:
        return standard_key(secret)
    except CredentialError:
        return b""


def _check_time(text: str, tolerance_s: float, now: float) -> None:
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise VerificationError("the time of the signature is not a number of Unix seconds")
    age_s = now - int(text)
    if age_s > tolerance_s:
        raise VerificationError(f"the signature is {age_s:.0f} s old, {tolerance_s:.0f} s are allowed")
    if -age_s > tolerance_s:
        raise VerificationError(f"the signature is {-age_s:.0f} s in the future: is a clock wrong?")


_Fits = Callable[[bytes], bool]


def _compare(
    given: list[str], keys: list[tuple[bytes, str]], received: _Received, sign: Callable[[bytes, bytes], str]
) -> None:
    """Return if one of ``given`` is the signature of the body with a key that is right (its hint is "")."""
    _find(_by_secret(given, keys, sign), bool(given), received)


def _by_secret(
    given: list[str], keys: list[tuple[bytes, str]], sign: Callable[[bytes, bytes], str]
) -> list[tuple[_Fits, str]]:
    def of(key: bytes) -> _Fits:
        return lambda body: _holds(given, sign(key, body))

    return [(of(key), hint) for key, hint in keys]


def _by_key(check: ed25519.Check, signatures: list[bytes], start: bytes) -> _Fits:
    return lambda body: any(check(signature, start + body) for signature in signatures)


def _find(keys: list[tuple[_Fits, str]], is_signed: bool, received: _Received) -> None:
    if not is_signed:
        raise VerificationError("the header holds no signature of a version that is known here")
    for body, hint_of_body in received.bodies():
        for fits, hint_of_key in keys:
            if fits(body):
                hint = hint_of_body or hint_of_key
                if not hint:
                    return
                raise VerificationError(hint)
    raise VerificationError("no signature fits: the secret is another one, or the body is not what was sent")


def _holds(given: list[str], expected: str) -> bool:
    return any(hmac.compare_digest(value.encode("utf-8", "replace"), expected.encode()) for value in given)


_SCHEMES: dict[str, Callable[[_Received, list[str], float, float], None]] = {
    "api_key": _api_key,
    "hmac": _hmac,
    "standard": _standard,
    "github": _github,
    "stripe": _stripe,
    "http_signature": _http_signature,
}
