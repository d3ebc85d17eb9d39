"""Signed keys for publishers and players, made and checked for an operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..clock import Clock
from ..errors import OperatorRefused
from .access import signed
from .access.question import Question

_NO_KEYS = "there is no signing key: [access] signing_keys"


class Tokens:
    """``keys`` gives the signing keys in effect, the newest first. No method switches greenlets."""

    def __init__(self, keys: Callable[[], Sequence[str]], clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def issue(self, action: str, app: str, name: str, ttl_s: float) -> dict[str, Any]:
        """A new key. Raises OperatorRefused without a signing key."""
        expires = int(self._clock.wall() + ttl_s)
        token = signed.issue(self._known(), signed.Claims(app, name, (action,), expires))
        return {"token": token, "app": app, "name": name, "action": action, "expires": expires}

    def check(self, token: str, action: str, app: str, name: str) -> dict[str, Any]:
        """Whether the key admits, and if not, why. Raises OperatorRefused without a signing key."""
        verdict = signed.check(self._known(), Question(action, app, name, token, "", 0), self._clock.wall())
        return {"allowed": verdict.allowed, "reason": verdict.reason, "identity": verdict.identity}

    def _known(self) -> Sequence[str]:
        keys = self._keys()
        if not keys:
            raise OperatorRefused(_NO_KEYS)
        return keys
