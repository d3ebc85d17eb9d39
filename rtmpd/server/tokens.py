"""Signed keys for publishers and players, made and checked for an operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..clock import Clock
from ..errors import InvalidStreamKey, OperatorRefused
from ..identity import Applications, segments
from .access import signed
from .access.question import Question

_NO_KEYS = "no signing key is configured: [access] signing_keys"


class Tokens:
    """``keys`` returns the signing keys in effect, the newest first, ``applications`` those in effect."""

    def __init__(
        self, keys: Callable[[], Sequence[str]], applications: Callable[[], Applications], clock: Clock
    ) -> None:
        self._keys = keys
        self._applications = applications
        self._clock = clock

    def issue(self, action: str, app: str, name: str, ttl_s: float) -> dict[str, Any]:
        """Return a new key. Raises OperatorRefused without a signing key."""
        expires = int(self._clock.wall() + ttl_s)
        token = signed.issue(self._known(), signed.Claims(app, name, (action,), expires))
        return {"token": token, "app": app, "name": name, "action": action, "expires": expires}

    def check(self, token: str, action: str, app: str, name: str) -> dict[str, Any]:
        """Return whether the key admits, and if not, why. Raises OperatorRefused without a signing key, or if the two
        name no stream."""
        keys = self._known()
        try:
            stream = self._applications().identify(segments(app, name))
        except InvalidStreamKey as error:
            raise OperatorRefused(str(error)) from None
        verdict = signed.check(keys, Question(action, stream, token, "", 0), self._clock.wall())
        return {"allowed": verdict.allowed, "reason": verdict.reason, "identity": verdict.identity}

    def _known(self) -> Sequence[str]:
        keys = self._keys()
        if not keys:
            raise OperatorRefused(_NO_KEYS)
        return keys
