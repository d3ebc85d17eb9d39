"""For receivers of webhooks: is this request from rtmpd, and if not, what is wrong with it?

    from rtmpd.hook.verify import VerificationError, verify

    try:
        verify(request.headers, request.body, secret, scheme="standard")
    except VerificationError as error:
        ...  # 401, and the log says what the mistake is

Needs nothing but the standard library, and no running rtmpd. The body is the bytes as they came: a body that was
parsed and written again has another signature. Secrets are compared in constant time.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..errors import CredentialError, RtmpdError
from .signing import DIGESTS, STANDARD_PREFIX, standard_key, text_key

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
) -> None:
    """Return if the request is one that was signed with ``secret``, or with one of them.

    ``scheme`` is api_key, hmac, standard, github or stripe; ``header`` the name of the header for the first two, if
    it is not the usual one. A time in the signature may be ``tolerance_s`` away from ``now`` (Unix seconds, by
    default the clock). Raises VerificationError. Never switches greenlets.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise VerificationError(f"the body is {type(body).__name__}: give the bytes as they came, before any parser")
    if scheme not in _SCHEMES:
        raise VerificationError(f"no scheme is called {scheme!r}; there are {', '.join(_SCHEMES)}")
    secrets = [secret] if isinstance(secret, str) else list(secret)
    if not secrets or not all(secrets):
        raise VerificationError("no secret was given")
    received = _Received({name.lower(): value for name, value in headers.items()}, bytes(body), header)
    _SCHEMES[scheme](received, secrets, tolerance_s, time.time() if now is None else now)


class _Received:
    """What came. ``header`` is the name that the receiver expects instead of the usual one."""

    def __init__(self, headers: dict[str, str], body: bytes, header: str) -> None:
        self._headers = headers
        self.body = body
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

    def sign(key: bytes, body: bytes) -> str:
        return base64.b64encode(hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")).decode()

    try:
        keys = [(standard_key(secret), "") for secret in secrets]
    except CredentialError as error:
        raise VerificationError(f"the secret {error}: it is {STANDARD_PREFIX} and the base64 of the key") from error
    keys += [(text_key(secret), _UNDECODED) for secret in secrets]
    _compare([value.removeprefix("v1,") for value in signatures if value.startswith("v1,")], keys, received, sign)


_DECODED = "the sender takes the secret as it is written, it must not be decoded from base64"
_UNDECODED = "the sender took the text of the secret for the key: it is the base64 behind whsec_ that must be decoded"


def _decoded(secret: str) -> bytes:
    """The key that somebody would get who decodes the secret, b"" if it can not be."""
    try:
        return standard_key(secret)
    except CredentialError:
        return b""


def _check_time(text: str, tolerance_s: float, now: float) -> None:
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise VerificationError("the time of the signature is no number of Unix seconds")
    age_s = now - int(text)
    if age_s > tolerance_s:
        raise VerificationError(f"the signature is {age_s:.0f} s old, {tolerance_s:.0f} s are allowed")
    if -age_s > tolerance_s:
        raise VerificationError(f"the signature is {-age_s:.0f} s in the future: is a clock wrong?")


def _compare(
    given: list[str], keys: list[tuple[bytes, str]], received: _Received, sign: Callable[[bytes, bytes], str]
) -> None:
    """Return if one of ``given`` is the signature of the body with a key that is right (its hint is "")."""
    if not given:
        raise VerificationError("the header holds no signature of a version that is known here")
    for body, hint_of_body in received.bodies():
        for key, hint_of_key in keys:
            if _holds(given, sign(key, body)):
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
}
