"""The keys of JSON Web Tokens (RFC 7518), for those that rtmpd makes and those that it verifies."""

from __future__ import annotations

from typing import Any, Final

from jwt.algorithms import get_default_algorithms

from .errors import CredentialError

ALGORITHMS: Final = ("HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA")


def load_key(algorithm: str, text: str, options: tuple[str, str], signs: bool) -> Any:
    """Return the key, parsed: a shared secret, or in PEM a private key if it ``signs``, else a public one. ``options``
    are the names of those that give the algorithm and the key. Raises CredentialError."""
    for_algorithm, for_key = options
    if algorithm not in ALGORITHMS:
        raise CredentialError("is not an algorithm for tokens", for_algorithm, f"known: {', '.join(ALGORITHMS)}")
    known = get_default_algorithms().get(algorithm)
    if known is None:
        hint = "pip install 'rtmpd[jwt]'"
        raise CredentialError(f"{algorithm} needs the package cryptography", for_algorithm, hint)
    try:
        key = known.prepare_key(text)
        if signs:
            known.sign(b"", key)
    except Exception:  # noqa: BLE001  the libraries raise a dozen kinds, whose texts may show the key
        kind = "private" if signs else "public"
        wanted = "use a plain text" if algorithm.startswith("HS") else f"name the {kind} key: ${{file:key.pem}}"
        what = "is" if signs else "has one that is"
        raise CredentialError(f"{what} not a key for {algorithm}", for_key, wanted) from None
    if not signs and hasattr(key, "private_bytes"):
        wanted = "name the public key: what verifies need not be able to sign"
        raise CredentialError("has a private key", for_key, wanted)
    return key


def weakness(algorithm: str, key: Any) -> str:
    """Return what is weak about a key that ``load_key`` has returned, "" if nothing is."""
    return get_default_algorithms()[algorithm].check_key_length(key) or ""
