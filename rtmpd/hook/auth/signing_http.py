"""HTTP Message Signatures (RFC 9421) with the digest of the body in a header (RFC 9530).

    Content-Digest: sha-256=:X48E9q...=:
    Signature-Input: rtmpd=("@method" "@path" "content-digest" "webhook-id");created=1634567890;keyid="k";alg="ed25519"
    Signature: rtmpd=:K2qGT5s...=:

Covered is what no proxy has a reason to change: not the authority, not the scheme, not the query.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence

from ...errors import CredentialError
from ...event.event import Event
from ...settings import AuthSettings
from . import ed25519

LABEL = "rtmpd"
COVERED = ("@method", "@path", "content-digest", "webhook-id")
HMAC_SHA256 = "hmac-sha256"
ED25519 = "ed25519"
ALGORITHMS = (HMAC_SHA256, ED25519)


class HttpSigner:
    """Signs POST requests to ``path`` (as it stands in the request line, without the query). Raises CredentialError."""

    def __init__(self, auth: AuthSettings, path: str) -> None:
        self._algorithm = auth.algorithm or HMAC_SHA256
        if self._algorithm not in ALGORITHMS:
            hint = f"known: {', '.join(ALGORITHMS)}"
            raise CredentialError("is not an algorithm for HTTP signatures", "algorithm", hint)
        if not (auth.key_id.isascii() and auth.key_id.isprintable()):
            raise CredentialError("cannot be written in a header", "key_id", "use letters, digits and signs of ASCII")
        if not auth.secret:
            raise CredentialError("is missing", "secret", "the type needs one")
        self._sign = _signing(self._algorithm, auth.secret)
        self._key_id = auth.key_id.replace("\\", "\\\\").replace('"', '\\"')
        self._path = path

    def headers(self, body: bytes, event: Event, now: float) -> dict[str, str]:
        """Id, digest of the body and signature."""
        digest = content_digest(body)
        key_id = f';keyid="{self._key_id}"' if self._key_id else ""
        components = " ".join(f'"{name}"' for name in COVERED)
        parameters = f'({components});created={int(now)}{key_id};alg="{self._algorithm}"'
        values = {"@method": "POST", "@path": self._path, "content-digest": digest, "webhook-id": event.id}
        signature = base64.b64encode(self._sign(signature_base(COVERED, values, parameters))).decode()
        return {
            "webhook-id": event.id,
            "Content-Digest": digest,
            "Signature-Input": f"{LABEL}={parameters}",
            "Signature": f"{LABEL}=:{signature}:",
        }


def content_digest(body: bytes) -> str:
    """The value of Content-Digest (RFC 9530, 2)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def signature_base(covered: Sequence[str], values: Mapping[str, str], parameters: str) -> bytes:
    """What is signed (RFC 9421, 2.5)."""
    rows = [f'"{name}": {values[name]}' for name in covered]
    return "\n".join([*rows, f'"@signature-params": {parameters}']).encode()


def _signing(algorithm: str, secret: str) -> Callable[[bytes], bytes]:
    if algorithm == ED25519:
        return ed25519.signer(secret, "secret")
    key = secret.encode("utf-8", "surrogateescape")
    return lambda signed: hmac.digest(key, signed, "sha256")
