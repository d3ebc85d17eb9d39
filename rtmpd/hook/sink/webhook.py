"""A POST per event: the body is the event's JSON, the answer's status decides.

=============================  =====================================
answer                         meaning
=============================  =====================================
2xx                            delivered
408, 425, 429, 5xx             worth another try
network error, timeout         worth another try
any other, redirects included  failed for good
=============================  =====================================

Which of the failures the lane holds against the event, the endpoint or the credentials is told by ``fault``.

requests' adapter is used without its session: the session costs twice as much, follows redirects
(a POST becomes a GET, private headers go to strangers), and takes proxies, credentials and
certificate bundles from its surroundings. ``signing`` proves who sends it, ``egress`` rules where it may go.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Sequence
from http.client import RemoteDisconnected
from typing import NamedTuple
from urllib.parse import urlsplit

import gevent
import requests
import urllib3

from ... import __version__
from ...clock import Clock
from ...errors import ConfigError, PermanentDeliveryError, Problem, TransientDeliveryError
from ...event.event import Event
from ...log import redact
from ...settings import HttpSettings
from ..egress import AddressRefused, EgressAdapter, root_of
from ..fault import retry_after_s
from ..oauth2 import OAuth2Signer
from ..signing import Signer

ANSWER_BYTES = 4096

_PLAIN = HttpSettings()
_TRANSIENT_STATUS = frozenset({408, 425, 429})
_STALE = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class _Answer(NamedTuple):
    """What became of one request. ``wait_s`` is the wish of a Retry-After header, None without one."""

    status: int
    wait_s: float | None


class WebhookHook:
    """Posts to ``url``, over at most ``concurrency`` kept connections, in the way of ``http``, with the headers of
    ``signers``.

    Raises ConfigError if the URL can not be used, ValueError if a network of ``http`` is none.
    """

    type = "webhook"

    def __init__(
        self,
        id: str,
        url: str,
        concurrency: int,
        clock: Clock,
        http: HttpSettings = _PLAIN,
        signers: Sequence[Signer] = (),
    ) -> None:
        self.id = id
        self._clock = clock
        self._signers = signers
        self._template = _template(id, url)
        self._template.headers.update(http.headers)
        self._adapter = EgressAdapter(http, concurrency)

    def execute(self, event: Event, deadline: float) -> None:
        """Post the event and read the head of the answer, all before the deadline: DNS, connect,
        TLS and an answer that comes drop by drop. Raises Transient- and PermanentDeliveryError. May switch
        greenlets."""
        limit = gevent.Timeout(max(deadline - self._clock.monotonic(), 0.001))
        try:
            with limit:
                status, wait_s = self._deliver(event)
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            raise TransientDeliveryError("timed out", "timeout") from expired
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _network_error(error) from error
        if 200 <= status < 300:
            return
        text, code = f"server returned status {status}", f"status:{status}"
        if status in _TRANSIENT_STATUS or status >= 500:
            raise TransientDeliveryError(text, code, wait_s)
        raise PermanentDeliveryError(text, code)

    def close(self) -> None:
        """Close the kept connections."""
        self._adapter.close()

    def _deliver(self, event: Event) -> _Answer:
        """The answer; to a new token if the receiver does not take the one it got."""
        request = self._request(event)
        answer = self._post(request)
        if answer.status == 401 and self._has_new_token(request):
            answer = self._post(self._request(event))
        return answer

    def _has_new_token(self, refused: requests.PreparedRequest) -> bool:
        authorization = refused.headers.get("Authorization", "")
        return any(isinstance(signer, OAuth2Signer) and signer.refused(authorization) for signer in self._signers)

    def _request(self, event: Event) -> requests.PreparedRequest:
        body = event.json()
        request = self._template.copy()
        request.body = body
        request.headers["Content-Length"] = str(len(body))
        request.headers["X-RTMP-Event-Id"] = event.id
        request.headers["X-RTMP-Event-Seq"] = str(event.seq)
        request.headers["X-RTMP-Severity"] = event.severity
        for signer in self._signers:
            request.headers.update(signer.headers(body, event, self._clock.wall()))
        return request

    def _post(self, request: requests.PreparedRequest) -> _Answer:
        """The answer. Sent once more, at once, when a kept connection turned out to be closed by the
        receiver without a byte of an answer: that is no failure of theirs."""
        pool = self._adapter.pool_of(request)
        opened = pool.num_connections
        try:
            return self._exchange(request)
        except requests.ConnectionError as error:
            reused = pool.num_connections == opened
            if not (reused and isinstance(root_of(error), _STALE)):
                raise
        return self._exchange(request)

    def _exchange(self, request: requests.PreparedRequest) -> _Answer:
        response = self._adapter.exchange(request)
        try:
            _drain(response.raw)
        finally:
            response.close()
        headers = response.headers
        wait_s = retry_after_s(headers.get("Retry-After", ""), headers.get("Date", ""), self._clock.wall())
        return _Answer(response.status_code, wait_s)


def _template(id: str, url: str) -> requests.PreparedRequest:
    """The request as it is for every event. Credentials inside the URL become basic authentication."""
    request = requests.PreparedRequest()
    try:
        request.prepare(method="POST", url=url)
        scheme = urlsplit(request.url or "").scheme
    except (requests.RequestException, ValueError) as error:
        raise ConfigError([Problem("", f"hooks.{id}", "not a usable URL", redact(url))]) from error
    if scheme not in ("http", "https"):
        raise ConfigError([Problem("", f"hooks.{id}", "only http and https URLs", redact(url))])
    request.headers.update({
        "Content-Type": "application/json",
        "User-Agent": f"rtmpd/{__version__}",
        "Accept": "*/*",
        "X-RTMP-Event-Version": "1",
    })
    return request


def _drain(raw: urllib3.BaseHTTPResponse) -> None:
    """Read a small answer to its end, so that the connection can be used again; of a large one just
    the head, undecoded, so that nobody can fill our memory."""
    left = ANSWER_BYTES
    while left > 0:
        piece = raw.read(left, decode_content=False)
        if not piece:
            return
        left -= len(piece)


def _network_error(error: Exception) -> TransientDeliveryError:
    """In words that hold no URL: the library's own would carry the query, and so its secrets."""
    root = root_of(error)
    name = type(root).__name__
    if isinstance(root, AddressRefused):
        return TransientDeliveryError(str(root), "address_refused")
    if not isinstance(root, OSError):
        return TransientDeliveryError(f"network error: {name}", name)
    # The numbers of TLS errors are not those of the system.
    code = name if isinstance(root, ssl.SSLError) else errno.errorcode.get(root.errno or 0, name)
    return TransientDeliveryError(f"network error: {root.strerror or name}", code)
