"""Ed25519 keys (RFC 8032) as operators write them: PEM, or ``whsk_`` and ``whpk_`` with base64 as in Standard Webhooks.

Needs the package ``cryptography``, which is imported with the first key.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from ...errors import CredentialError

PRIVATE_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"

_PEM = "-----BEGIN"
_KEY_BYTES = 32

Sign = Callable[[bytes], bytes]
Check = Callable[[bytes, bytes], bool]


def signer(text: str, key: str) -> Sign:
    """What signs with the private key: PEM, or the base64 of its 32 bytes, or of these and the public key's 32.
    ``key`` is that of the configuration. Raises CredentialError."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise _missing(key) from error
    hint = "write whsk_ and base64, or name the private key: ${file:key.pem}"
    try:
        if text.startswith(_PEM):
            private = serialization.load_pem_private_key(text.encode(), None)
            public = b""
        else:
            raw = _decoded(text, PRIVATE_PREFIX)
            private, public = Ed25519PrivateKey.from_private_bytes(raw[:_KEY_BYTES]), raw[_KEY_BYTES:]
    except Exception:  # noqa: BLE001  the library raises many kinds, whose texts may show the key
        raise CredentialError("is not an Ed25519 private key", key, hint) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise CredentialError("is a private key, but none for Ed25519", key, hint)
    if public and public != private.public_key().public_bytes_raw():
        raise CredentialError("has a public half that does not belong to its private one", key, hint)
    return private.sign


def checker(text: str) -> Check:
    """What tells whether a signature of a text is of the public key, in PEM or base64. Raises CredentialError. Never
    switches."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise _missing("secret") from error
    try:
        if text.startswith(_PEM):
            public = serialization.load_pem_public_key(text.encode())
        else:
            public = Ed25519PublicKey.from_public_bytes(_decoded(text, PUBLIC_PREFIX))
    except Exception:  # noqa: BLE001  as above
        raise CredentialError("is not an Ed25519 public key", "secret", "write whpk_ and base64, or PEM") from None
    if not isinstance(public, Ed25519PublicKey):
        raise CredentialError("is a public key, but none for Ed25519", "secret", "take that of the sender")

    def check(signature: bytes, signed: bytes) -> bool:
        try:
            public.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return check


def is_public(text: str) -> bool:
    """Whether this looks like a public key, which no shared secret does."""
    return text.startswith((PUBLIC_PREFIX, "-----BEGIN PUBLIC KEY-----"))


def _decoded(text: str, prefix: str) -> bytes:
    plain = text.removeprefix(prefix)
    raw = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    if len(raw) not in (_KEY_BYTES, 2 * _KEY_BYTES):
        raise ValueError("another length")
    return raw


def _missing(key: str) -> CredentialError:
    return CredentialError("for Ed25519 needs the package cryptography", key, "pip install 'rtmpd[jwt]'")
