"""JSON Web Tokens (RFC 7519) from another issuer.

The algorithm is the one of the configuration, not the one that the token names, so neither ``none`` nor
a public key taken for a shared secret gets anywhere. ``exp``, ``app``, ``name`` and ``action`` have to be
there: a token that was made for something else with the same key must not open a stream.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import jwt

from ...jwtkeys import load_key, weakness
from ...settings import AccessSettings
from .question import MISSING, Question, Verdict, out_of_scope, refused

_REQUIRED: Final = ("exp", "app", "name", "action")

_REASONS: Final[Sequence[tuple[type[jwt.PyJWTError], str]]] = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not valid yet"),
    (jwt.InvalidAudienceError, "wrong audience"),
    (jwt.InvalidIssuerError, "wrong issuer"),
    (jwt.MissingRequiredClaimError, "a claim is missing"),
    (jwt.InvalidAlgorithmError, "wrong algorithm"),
    (jwt.InvalidSignatureError, "bad signature"),
)


class WebTokens:
    """Admits a client whose token one of the keys verifies. Raises CredentialError for a key that is not valid."""

    def __init__(self, settings: AccessSettings) -> None:
        self._algorithm = settings.jwt_algorithm
        self._keys = [_key(self._algorithm, key) for key in settings.jwt_keys]
        self._issuer = settings.jwt_issuer or None
        self._audience = settings.jwt_audience or None
        self._leeway_s = settings.jwt_leeway_s

    def judge(self, question: Question) -> Verdict:
        """Return the verdict on the token."""
        if not question.token:
            return refused(MISSING)
        claims: dict[str, Any] | str = "bad signature"
        for key in self._keys:
            claims = self._claims(question.token, key)
            if claims != "bad signature":
                break
        if isinstance(claims, str):
            return refused(claims)
        if reason := out_of_scope(_texts(claims["app"]), _texts(claims["name"]), question.stream):
            return refused(reason)
        if not any(fnmatchcase(question.action, action) for action in _texts(claims["action"])):
            return refused("wrong action")
        subject = claims.get("sub")
        return Verdict(True, identity=subject if isinstance(subject, str) else "")

    def _claims(self, token: str, key: Any) -> dict[str, Any] | str:
        """Return the claims, or why they are not valid."""
        options: Any = {"require": list(_REQUIRED), "verify_aud": self._audience is not None, "verify_sub": False}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)  # said once, when the settings were read
                return jwt.decode(
                    token,
                    key,
                    algorithms=[self._algorithm],
                    options=options,
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=self._leeway_s,
                )
        except jwt.PyJWTError as error:
            return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "not a token")
        except (ValueError, TypeError, RecursionError, OverflowError):
            return "not a token"  # nonsense that the library does not foresee


def _texts(claim: object) -> list[str]:
    """Return the texts of a claim that is a text or a list of them."""
    return [text for text in (claim if isinstance(claim, list) else [claim]) if isinstance(text, str)]


def _key(algorithm: str, key: str) -> Any:
    """Return the key, parsed: a shared secret or a public key in PEM. Raises CredentialError."""
    return load_key(algorithm, key, ("jwt_algorithm", "jwt_keys"), signs=False)


def check_key(algorithm: str, key: str) -> str:
    """Return what is weak about a key, "" if nothing is. Raises CredentialError if it cannot be used."""
    return weakness(algorithm, _key(algorithm, key))
