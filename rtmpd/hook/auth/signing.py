"""Signatures of webhooks: headers made from the exact bytes of the body at the moment of sending.

A signer is a small object of one method; a hook has one for each of its ways. Signing belongs to the sending, not to
the queueing, since the time in a signature is that of the attempt and a token may have ended meanwhile.

==============  =============================================================================
type            headers
==============  =============================================================================
api_key         ``X-API-Key: <key>``
hmac            ``X-Signature: sha256=<hex of HMAC(secret, body)>``
standard        ``webhook-id``, ``webhook-timestamp``, ``webhook-signature: v1,<base64> v1a,...``
github          ``X-Hub-Signature-256: sha256=<hex>``, ``X-GitHub-Delivery``, ``X-GitHub-Event``
stripe          ``Stripe-Signature: t=<Unix seconds>,v1=<hex>,...``
http_signature  ``Signature-Input``, ``Signature``, ``Content-Digest`` (``signing_http``)
jwt             ``Authorization: Bearer <token>`` (``tokens``)
oauth2          ``Authorization: Bearer <token>`` (``oauth2``)
basic           ``Authorization: Basic <base64>``
==============  =============================================================================

Where a batch is sent the event that is given is the batch's (``batch.batch_event``): its id is that of the batch.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import Protocol
from urllib.parse import urlsplit

from ...errors import CredentialError
from ...event.event import Event
from ...settings import AuthSettings, SigningSecret
from . import ed25519

STANDARD_PREFIX = "whsec_"
DIGESTS = {"sha256": hashlib.sha256, "sha1": hashlib.sha1}

HMAC_BYTES = 16
STANDARD_BYTES = 24

_AUTHORIZATION = "Authorization"
_USUAL_HEADERS: dict[str, tuple[str, ...]] = {
    "api_key": ("X-API-Key",),
    "hmac": ("X-Signature",),
    "standard": ("webhook-id", "webhook-timestamp", "webhook-signature"),
    "github": ("X-Hub-Signature-256", "X-GitHub-Delivery", "X-GitHub-Event"),
    "stripe": ("Stripe-Signature",),
    "http_signature": ("webhook-id", "Content-Digest", "Signature-Input", "Signature"),
    "jwt": (_AUTHORIZATION,),
    "oauth2": (_AUTHORIZATION,),
    "basic": (_AUTHORIZATION,),
}


#: What has the same value whoever writes it.
_SHARED = frozenset({"webhook-id"})


class Signer(Protocol):
    """One way of proof."""

    def headers(self, body: bytes, event: Event, now: float) -> dict[str, str]:
        """The headers for one attempt to send ``body`` at ``now`` (Unix seconds). Raises DeliveryError.
        May switch greenlets, and does so only to get a token."""
        ...


def headers_of(auth: AuthSettings) -> tuple[str, ...]:
    """The names of the headers that are written."""
    usual = _USUAL_HEADERS[auth.type]
    return (auth.header,) if auth.header and auth.type in ("api_key", "hmac") else usual


def check_together(auth: Iterable[AuthSettings], headers: Iterable[tuple[str, str]], url: str) -> None:
    """Raises CredentialError if two of these write the same header: one would be lost, and nobody could tell which.

    A fixed header of the operator's may replace any other header, but none that proves something.
    """
    writers = {name.lower(): "headers" for name, _ in headers}
    if urlsplit(url).username is not None:
        if "authorization" in writers:
            raise CredentialError("write Authorization, which the credentials in url do too", "headers")
        writers["authorization"] = "url"
    for one in auth:
        for name in headers_of(one):
            other = writers.get(name.lower())
            if other and (other == "headers" or name.lower() not in _SHARED):
                raise CredentialError(f"type = {one.type} writes the header {name}, which {other} writes too", "type")
        writers |= {name.lower(): f"type = {one.type}" for name in headers_of(one)}


# --- the plain ones ---------------------------------------------------------------------------------


class FixedHeaders:
    """The same headers for each request: an API key, Basic."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def headers(self, body: bytes, event: Event, now: float) -> dict[str, str]:
        """What they are."""
        return self._headers


def api_key(auth: AuthSettings) -> FixedHeaders:
    """The key as it stands. Raises CredentialError."""
    key = _required(auth.key, "key")
    if not (key.isascii() and key.isprintable()) or key != key.strip():
        raise CredentialError("cannot be the value of a header", "key", "use letters, digits and signs of ASCII")
    return FixedHeaders({headers_of(auth)[0]: key})


def basic(auth: AuthSettings) -> FixedHeaders:
    """User name and password (RFC 7617, in UTF-8). Raises CredentialError."""
    username = _required(auth.username, "username")
    if ":" in username:
        raise CredentialError("has a colon, which ends a user name", "username", "take another name")
    pair = text_key(f"{username}:{auth.password}")
    return FixedHeaders({_AUTHORIZATION: "Basic " + base64.b64encode(pair).decode()})


# --- signatures over the body -----------------------------------------------------------------------


class HmacSigner:
    """``<digest>=<hex>`` over the body; for GitHub with its two other headers. Raises CredentialError."""

    def __init__(self, auth: AuthSettings) -> None:
        self._key = text_key(_required(auth.secret, "secret"))
        self._algorithm = "sha256" if auth.type == "github" else auth.algorithm or "sha256"
        if self._algorithm not in DIGESTS:
            raise CredentialError("is not a digest for signatures", "algorithm", f"known: {', '.join(DIGESTS)}")
        self._names = headers_of(auth)

    def headers(self, body: bytes, event: Event, now: float) -> dict[str, str]:
        """The signature of the body."""
        signature = f"{self._algorithm}={hmac.new(self._key, body, DIGESTS[self._algorithm]).hexdigest()}"
        return dict(zip(self._names, (signature, event.id, event.type), strict=False))


class StandardSigner:
    """Standard Webhooks 1.0.0: one signature for each secret in use, so that a secret can be replaced while both are
    known; v1a where the secret is a private key for Ed25519. Raises CredentialError."""

    def __init__(self, auth: AuthSettings) -> None:
        self._signs = [(_standard_sign(secret.text), secret.until) for secret in _secrets(auth)]

    def headers(self, body: bytes, event: Event, now: float) -> dict[str, str]:
        """Id of the event, time of the attempt, signatures."""
        timestamp = str(int(now))
        signed = b".".join([event.id.encode(), timestamp.encode(), body])
        signatures = [sign(signed) for sign, until in self._signs if until is None or now <= until]
        return {
            "webhook-id": event.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(signatures),
        }


def _standard_sign(secret: str) -> Callable[[bytes], str]:
    """What makes one signature of Standard Webhooks. Raises CredentialError."""
    if secret.startswith(ed25519.PRIVATE_PREFIX):
        sign = ed25519.signer(secret, "secrets")
        return lambda signed: "v1a," + base64.b64encode(sign(signed)).decode()
    if secret.startswith(ed25519.PUBLIC_PREFIX):
        raise CredentialError("is a public key", "secrets", "this side needs the private one, whsk_ and base64")
    key = standard_key(secret)
    return lambda signed: "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


class StripeSigner:
    """Stripe's header. Its secrets are taken as they are written, ``whsec_`` included. Raises CredentialError."""

    def __init__(self, auth: AuthSettings) -> None:
        self._secrets = [(text_key(secret.text), secret.until) for secret in _secrets(auth)]

    def headers(self, body: bytes, event: Event, now: float) -> dict[str, str]:
        """Time of the attempt and signatures."""
        signed = b"%d.%s" % (int(now), body)
        keys = [key for key, until in self._secrets if until is None or now <= until]
        signatures = [f"v1={hmac.digest(key, signed, 'sha256').hex()}" for key in keys]
        return {"Stripe-Signature": ",".join([f"t={int(now)}", *signatures])}


def text_key(secret: str) -> bytes:
    """The bytes of a secret that is the key as it stands; those from the environment need not be UTF-8."""
    return secret.encode("utf-8", "surrogateescape")


def standard_key(secret: str) -> bytes:
    """The key in a secret of Standard Webhooks: base64, with ``whsec_`` or without. Raises CredentialError."""
    text = secret.removeprefix(STANDARD_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise CredentialError(
            "is not base64", "secrets", "write whsec_ and the base64 of 24 to 64 random bytes"
        ) from error
    if not key:
        raise CredentialError("has no bytes", "secrets", "write whsec_ and the base64 of 24 to 64 random bytes")
    return key


def _secrets(auth: AuthSettings) -> tuple[SigningSecret, ...]:
    secrets = auth.secrets or ((SigningSecret(auth.secret),) if auth.secret else ())
    if not secrets:
        raise CredentialError("is missing", "secrets", f"type = {auth.type} needs one")
    if all(secret.until is not None for secret in secrets):
        raise CredentialError("all have an end, after which nothing is signed", "secrets", "leave one without until")
    if not all(secret.text for secret in secrets):
        raise CredentialError("has an empty one", "secrets", "leave it out")
    return secrets


def _required(value: str, key: str) -> str:
    if not value:
        raise CredentialError("is missing", key, "the type needs one")
    return value


#: What makes the signers that need nothing but their settings.
BODY_SIGNERS: dict[str, Callable[[AuthSettings], Signer]] = {
    "api_key": api_key,
    "basic": basic,
    "hmac": HmacSigner,
    "github": HmacSigner,
    "standard": StandardSigner,
    "stripe": StripeSigner,
}


def short_secrets(auth: AuthSettings) -> str:
    """What to say about a secret that can be guessed, "" if none can. Lengths are in bytes."""
    if auth.type == "standard":
        shared = [one.text for one in _secrets(auth) if not one.text.startswith(ed25519.PRIVATE_PREFIX)]
        shortest, least = min((len(standard_key(text)) for text in shared), default=STANDARD_BYTES), STANDARD_BYTES
    elif auth.type in ("hmac", "github") or (auth.type == "http_signature" and auth.algorithm != "ed25519"):
        shortest, least = len(text_key(auth.secret)), HMAC_BYTES
    else:
        return ""
    return f"is short: {shortest} bytes, {least} are the least that is advised" if shortest < least else ""
