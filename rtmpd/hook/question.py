"""Questions of the access rules, sent under the rules of webhooks: where they may go, and how they are signed."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http.client import RemoteDisconnected

import gevent
import requests
import urllib3

from .. import __version__
from ..errors import ConfigError, DeliveryError, Problem
from ..settings import AccessSettings, HttpSettings
from .auth.signing import text_key
from .egress import EgressAdapter, root_of

ANSWER_BYTES = 64 * 1024
KEPT_CONNECTIONS = 16
STALE = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class Questioner:
    """Asks at any number of URLs, in one way. Raises ValueError for a network that is none."""

    def __init__(self, settings: AccessSettings) -> None:
        http = HttpSettings(
            headers=settings.callback_headers,
            ca_file=settings.callback_ca_file,
            allow_networks=settings.callback_allow_networks,
            deny_networks=settings.callback_deny_networks,
        )
        self._headers = dict(http.headers)
        self._secret = text_key(settings.callback_secret)
        self._adapter = EgressAdapter(http, KEPT_CONNECTIONS)

    def ask_for(self, url: str) -> Callable[[bytes, float], tuple[int, bytes]]:
        """What asks at ``url``. It raises DeliveryError, in words that hold no URL, and may switch greenlets. Raises
        ConfigError if the URL can not be used."""
        template = requests.PreparedRequest()
        try:
            template.prepare(method="POST", url=url)
        except (requests.RequestException, ValueError) as error:
            raise ConfigError([Problem("", "apps.callback_url", "not a usable URL")]) from error
        template.headers.update({
            "Content-Type": "application/json",
            "User-Agent": f"rtmpd/{__version__}",
            "Accept": "application/json",
            **self._headers,
        })
        return lambda body, timeout_s: self._ask(template, body, timeout_s)

    def close(self) -> None:
        """Close the kept connections; questions that are under way get their answers."""
        self._adapter.close()

    def _ask(self, template: requests.PreparedRequest, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Status and body of the answer. One deadline for all: DNS, connect, TLS and an answer that comes drop by
        drop."""
        request = template.copy()
        request.body = body
        request.headers["Content-Length"] = str(len(body))
        if self._secret:
            request.headers["X-Signature"] = f"sha256={hmac.new(self._secret, body, 'sha256').hexdigest()}"
        limit = gevent.Timeout(timeout_s)
        try:
            with limit:
                return self._exchange(request)
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            raise DeliveryError("timed out", "timeout") from expired
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            root = root_of(error)
            raise DeliveryError(getattr(root, "strerror", None) or type(root).__name__, "network") from error

    def _exchange(self, request: requests.PreparedRequest) -> tuple[int, bytes]:
        """Once more, at once, when a kept connection turned out to be closed: that is no failure of theirs."""
        pool = self._adapter.pool_of(request)
        opened = pool.num_connections
        try:
            return self._exchange_once(request)
        except requests.ConnectionError as error:
            if pool.num_connections != opened or not isinstance(root_of(error), STALE):
                raise
        return self._exchange_once(request)

    def _exchange_once(self, request: requests.PreparedRequest) -> tuple[int, bytes]:
        response = self._adapter.exchange(request)
        try:
            body = response.raw.read(ANSWER_BYTES + 1, decode_content=False)
        finally:
            response.close()
        if len(body) > ANSWER_BYTES:
            raise DeliveryError(f"the answer is over {ANSWER_BYTES} bytes")
        return response.status_code, body
