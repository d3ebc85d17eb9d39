"""Sends the requests of the access callback, with the network rules and signatures of webhooks."""

from __future__ import annotations

import hmac
from collections.abc import Callable

import gevent

from .. import __version__
from ..clock import Clock
from ..errors import ConfigError, DeliveryError, Problem
from ..settings import AccessSettings, HttpSettings
from .auth.signing import text_key
from .exchange import Wanted
from .http import HttpClient, Target, target_of, trouble

ANSWER_BYTES = 64 * 1024
KEPT_CONNECTIONS = 16
MAX_LOOKUPS = 32


class Questioner:
    """Asks at any number of URLs, in one way. Raises ValueError for a network that is not valid."""

    def __init__(self, settings: AccessSettings, clock: Clock) -> None:
        http = HttpSettings(
            headers=settings.callback_headers,
            ca_file=settings.callback_ca_file,
            allow_networks=settings.callback_allow_networks,
            deny_networks=settings.callback_deny_networks,
        )
        self._headers = dict(http.headers)
        self._secret = text_key(settings.callback_secret)
        self._client = HttpClient(http, KEPT_CONNECTIONS, clock, MAX_LOOKUPS)

    def ask_for(self, url: str) -> Callable[[bytes, float], tuple[int, bytes]]:
        """What asks at ``url``. It raises DeliveryError, in words that hold no URL, and may switch greenlets. Raises
        ConfigError if the URL cannot be used."""
        try:
            target = target_of(url)
        except ValueError as error:
            raise ConfigError([Problem("", "apps.callback_url", f"not a usable URL: {error}")]) from error
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"rtmpd/{__version__}",
            "Accept": "application/json",
            **({"Authorization": target.authorization} if target.authorization else {}),
            **self._headers,
        }
        return lambda body, timeout_s: self._ask(target, headers, body, timeout_s)

    def close(self) -> None:
        """Close the kept connections; questions that are under way get their answers."""
        self._client.close()

    def _ask(self, target: Target, headers: dict[str, str], body: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Status and body of the answer. One deadline for all: DNS, connect, TLS and an answer that comes drop by
        drop. The body is empty with any status but 200, which is the only one whose body is read."""
        proof = {"Content-Length": str(len(body))}
        if self._secret:
            proof["X-Signature"] = f"sha256={hmac.new(self._secret, body, 'sha256').hexdigest()}"
        limit = gevent.Timeout(timeout_s)
        try:
            with limit:
                answer = self._client.exchange(target, "POST", {**headers, **proof}, body, Wanted(ANSWER_BYTES))
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            where = getattr(expired, "__notes__", ["no answer came"])[0]
            raise DeliveryError(f"timed out: {where}", "timeout") from None
        except OSError as error:
            raise DeliveryError(trouble(error)[0], "network") from error
        if answer.status != 200:
            return answer.status, b""
        if not answer.is_whole:
            what = f"is over {ANSWER_BYTES} bytes" if len(answer.body) >= ANSWER_BYTES else "was cut off"
            raise DeliveryError(f"the answer {what}")
        return answer.status, answer.body
