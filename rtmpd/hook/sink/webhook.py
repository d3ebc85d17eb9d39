"""A POST per event: the body is the event's JSON, the answer's status decides.

=============================  =====================================
answer                         meaning
=============================  =====================================
2xx                            delivered
408, 425, 429, 5xx             worth another try
network error, timeout         worth another try
any other, redirects included  failed for good
=============================  =====================================

requests' adapter is used without its session: the session costs twice as much, follows redirects
(a POST becomes a GET, private headers go to strangers), and takes proxies, credentials and
certificate bundles from its surroundings.
"""

from __future__ import annotations

import errno
import ssl
from http.client import RemoteDisconnected
from urllib.parse import urlsplit

import gevent
import requests
import urllib3
from requests.adapters import HTTPAdapter

from ... import __version__
from ...clock import Clock
from ...errors import ConfigError, PermanentDeliveryError, Problem, TransientDeliveryError
from ...event.event import Event
from ...log import redact

ANSWER_BYTES = 4096

_TRANSIENT_STATUS = frozenset({408, 425, 429})
_STALE = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class WebhookHook:
    """Posts to ``url``, over at most ``concurrency`` kept connections.

    Raises ConfigError if the URL can not be used.
    """

    type = "webhook"

    def __init__(self, id: str, url: str, concurrency: int, clock: Clock) -> None:
        self.id = id
        self._clock = clock
        self._template = _template(id, url)
        self._adapter = HTTPAdapter(pool_connections=1, pool_maxsize=concurrency, max_retries=0)

    def execute(self, event: Event, deadline: float) -> None:
        """Post the event and read the head of the answer, all before the deadline: DNS, connect,
        TLS and an answer that comes drop by drop. Raises Transient- and PermanentDeliveryError. May switch
        greenlets."""
        limit = gevent.Timeout(max(deadline - self._clock.monotonic(), 0.001))
        try:
            with limit:
                status = self._post(self._request(event))
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            raise TransientDeliveryError("timed out", "timeout") from expired
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _network_error(error) from error
        if 200 <= status < 300:
            return
        family = TransientDeliveryError if status in _TRANSIENT_STATUS or status >= 500 else PermanentDeliveryError
        raise family(f"server returned status {status}", f"status:{status}")

    def close(self) -> None:
        """Close the kept connections."""
        self._adapter.close()

    def _request(self, event: Event) -> requests.PreparedRequest:
        body = event.json()
        request = self._template.copy()
        request.body = body
        request.headers["Content-Length"] = str(len(body))
        request.headers["X-RTMP-Event-Id"] = event.id
        request.headers["X-RTMP-Event-Seq"] = str(event.seq)
        request.headers["X-RTMP-Severity"] = event.severity
        return request

    def _post(self, request: requests.PreparedRequest) -> int:
        """The status. Sent once more, at once, when a kept connection turned out to be closed by the
        receiver without a byte of an answer: that is no failure of theirs."""
        pool = self._adapter.get_connection_with_tls_context(request, verify=True)
        assert isinstance(pool, urllib3.HTTPConnectionPool)
        opened = pool.num_connections
        try:
            return self._exchange(request)
        except requests.ConnectionError as error:
            reused = pool.num_connections == opened
            if not (reused and isinstance(_root_of(error), _STALE)):
                raise
        return self._exchange(request)

    def _exchange(self, request: requests.PreparedRequest) -> int:
        response = self._adapter.send(request, stream=True, verify=True)
        try:
            _drain(response.raw)
        finally:
            response.close()
        return response.status_code


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


def _root_of(error: BaseException) -> BaseException:
    """What the library wrapped: the innermost error."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error


def _network_error(error: Exception) -> TransientDeliveryError:
    """In words that hold no URL: the library's own would carry the query, and so its secrets."""
    root = _root_of(error)
    name = type(root).__name__
    if not isinstance(root, OSError):
        return TransientDeliveryError(f"network error: {name}", name)
    # The numbers of TLS errors are not those of the system.
    code = name if isinstance(root, ssl.SSLError) else errno.errorcode.get(root.errno or 0, name)
    return TransientDeliveryError(f"network error: {root.strerror or name}", code)
