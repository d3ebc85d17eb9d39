"""JSON Web Tokens (RFC 7519) that rtmpd makes, as bearer tokens."""

from __future__ import annotations

import uuid
import warnings
from typing import Any

import jwt

from ...errors import CredentialError
from ...event.event import Event
from ...jwtkeys import ALGORITHMS, load_key, weakness
from ...settings import AuthSettings

CLOCK_SKEW_S = 30

_USED_FOR = 0.8
_OWN_CLAIMS = {
    "iss": "issuer",
    "sub": "subject",
    "aud": "audience",
    "iat": "ttl",
    "nbf": "ttl",
    "exp": "ttl",
    "jti": "ttl",
}


class JwtSigner:
    """``Authorization: Bearer <token>``; a token is used for 80 % of its life, so that it ends on no way.

    Issued-at lies half a minute back, for receivers whose clock is behind. Raises CredentialError.
    """

    def __init__(self, auth: AuthSettings) -> None:
        self._algorithm = auth.algorithm or "HS256"
        self._key = _key(auth, self._algorithm)
        self._ttl_s = auth.ttl_s
        self._claims = _claims(auth)
        self._token = ""
        self._issued = 0.0

    def headers(self, body: bytes, event: Event, now: float) -> dict[str, str]:
        """The token of now. A clock that was set back makes a new one too."""
        if not self._token or not self._issued <= now < self._issued + self._ttl_s * _USED_FOR:
            self._token, self._issued = self._new(now), now
        return {"Authorization": f"Bearer {self._token}"}

    def _new(self, now: float) -> str:
        claims = {
            **self._claims,
            "iat": int(now) - CLOCK_SKEW_S,
            "exp": int(now + self._ttl_s),
            "jti": uuid.uuid4().hex,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)  # said once, when the settings were read
            return jwt.encode(claims, self._key, self._algorithm)


def weak_key(auth: AuthSettings) -> str:
    """What to say about a key that is shorter than its algorithm asks for, "" if it is not. Raises CredentialError."""
    name = auth.algorithm or "HS256"
    weak = weakness(name, _key(auth, name))
    return f"is short for {name}: {weak}" if weak else ""


def _key(auth: AuthSettings, name: str) -> Any:
    if not auth.secret and name in ALGORITHMS:
        raise CredentialError("is missing", "secret", "type = jwt needs one")
    return load_key(name, auth.secret, ("algorithm", "secret"), signs=True)


def _claims(auth: AuthSettings) -> dict[str, str]:
    for name, _ in auth.claims:
        if name in _OWN_CLAIMS:
            raise CredentialError(f"{name} is made by rtmpd", "claims", f"see {_OWN_CLAIMS[name]}")
    named = {"iss": auth.issuer, "sub": auth.subject, "aud": auth.audience}
    return dict(auth.claims) | {name: value for name, value in named.items() if value}
