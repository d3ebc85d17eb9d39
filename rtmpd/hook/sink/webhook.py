"""A POST per event or per batch of them: the body is what ``format`` makes of it, the answer's status decides.

=============================  =====================================
answer                         meaning
=============================  =====================================
2xx                            delivered
408, 425, 429, 5xx             worth another try
network error, timeout         worth another try
any other, redirects included  failed for good
=============================  =====================================

A 2xx answer to a batch can tell more: ``{"results":[{"id":"evt_...","status":422}]}`` gives the status of events, and
those that it does not name are delivered. An answer with status 207 must be of that form.

Which of the failures the lane holds against the event, the endpoint or the credentials is told by ``fault``.

requests' adapter is used without its session: the session costs twice as much, follows redirects
(a POST becomes a GET, private headers go to strangers), and takes proxies, credentials and
certificate bundles from its surroundings. ``signing`` proves who sends it, ``egress`` rules where it may go.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from http.client import RemoteDisconnected
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import gevent
import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from ... import __version__
from ...clock import Clock
from ...errors import (
    ConfigError,
    DeliveryError,
    PermanentDeliveryError,
    Problem,
    TransientDeliveryError,
)
from ...event.event import Event
from ...log import redact
from ...settings import HttpSettings
from ..auth.oauth2 import OAuth2Signer
from ..auth.signing import Signer
from ..body import batch_body
from ..body.batch_body import Item
from ..body.format import BatchEncoder, Form, Terms, terms_of
from ..body.negotiation import Ask, FixedTerms
from ..egress import AddressRefused, EgressAdapter, Route, head_of, root_of
from ..fault import EVENT, fault_of, retry_after_s
from ..redelivery import ERROR
from .message import Message, headers_of

ANSWER_BYTES = 4096
_PREVIEW_S = 5.0
BATCH_ANSWER_BYTES = 256 * 1024

_PLAIN = HttpSettings()
_TRANSIENT_STATUS = frozenset({408, 425, 429})
_FORMAT_STATUS = 415
_STALE = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class Wire(Protocol):
    """Under which terms events are sent: ``negotiation.FixedTerms`` or ``NegotiatedTerms``."""

    @property
    def allowed_rate(self) -> float | None: ...

    def now(self, ask: Ask) -> Terms: ...

    def spend(self) -> None: ...

    def refused(self) -> None: ...


class _Request(NamedTuple):
    """What goes out, to the hook's URL."""

    method: str
    headers: MutableMapping[str, str]
    content: bytes | None


class _Answer(NamedTuple):
    """What became of one request. ``wait_s`` is the wish of a Retry-After header, None without one; ``content`` the
    head of the body."""

    status: int
    wait_s: float | None
    headers: Mapping[str, str]
    content: bytes


class WebhookHook:
    """Posts to ``url``, over at most ``concurrency`` kept connections, in the way of ``http``, with the headers of
    ``signers``, under the terms of ``wire``. Batches have at most ``batch_bytes`` of events, if that is not 0.

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
        wire: Wire | None = None,
        batch_bytes: int = 0,
    ) -> None:
        self.id = id
        self._clock = clock
        self._signers = signers
        self._wire = wire or FixedTerms(terms_of(Form(), ""))
        self._batch_bytes = batch_bytes
        self._template = _template(id, url)
        self._own_headers = dict(http.headers)
        self._template.headers.update(self._own_headers)
        self._base_headers = dict(self._template.headers)
        self._adapter = EgressAdapter(http, concurrency)
        self._route: Route | None = None

    @property
    def allowed_rate(self) -> float | None:
        """Requests a second that the receiver has agreed to, None for as many as there are."""
        return self._wire.allowed_rate

    def execute(self, event: Event, deadline: float) -> None:
        """Post the event and read the head of the answer, all before the deadline: DNS, connect,
        TLS and an answer that comes drop by drop. Raises Transient- and PermanentDeliveryError. May switch
        greenlets."""
        with self._until(deadline):
            self._send_one(self._wire.now(self._asker(deadline)), event)

    @property
    def answers_each(self) -> bool:
        """Whether each event of a batch has an answer of its own: only where the receiver wants to tell."""
        return False

    def execute_batch(self, events: Sequence[Event], deadline: float) -> Sequence[DeliveryError | None]:
        """Post the events, all before the deadline, in one request if the terms and ``batch_bytes`` allow it.

        Returns what became of each of them, None for delivered, in their order. Raises Transient- and
        PermanentDeliveryError if the same became of all. May switch greenlets."""
        outcomes: list[DeliveryError | None] = []
        try:
            with self._until(deadline):
                terms = self._wire.now(self._asker(deadline))
                for some in self._outcomes(terms, events):
                    outcomes += some
        except DeliveryError as error:
            if not outcomes:
                raise
            outcomes += [error] * (len(events) - len(outcomes))
        return outcomes

    def preview(self, event: Event) -> dict[str, object]:
        """What would be sent of the event, without what proves who sends it. May switch greenlets."""
        terms = self._wire.now(self._asker(self._clock.monotonic() + _PREVIEW_S))
        content_type, headers, content = terms.single.encode(event)
        shown = {"Content-Type": content_type, **headers, **headers_of(event, self.id), **terms.headers}
        shown.update(dict.fromkeys(self._own_headers, "***"))
        url = urlsplit(self._template.url or "")
        return {
            "method": "POST",
            "url": f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}",
            "headers": shown,
            "signed_by": [type(signer).__name__ for signer in self._signers],
            "body": content.decode("utf-8", "replace"),
        }

    def close(self) -> None:
        """Close the kept connections."""
        self._adapter.close()

    # --- one request or several -----------------------------------------------------------------------

    def _outcomes(self, terms: Terms, events: Sequence[Event]) -> Iterator[Sequence[DeliveryError | None]]:
        """Of the first few events, then of the next few, and so on, as they are sent."""
        encoder = terms.batch
        if encoder is None:
            for event in events:
                yield [self._outcome(terms, event)]
            return
        items = ((event, encoder.item(event)) for event in events)
        for piece in batch_body.cut(items, terms.batch_events, self._batch_bytes):
            if len(piece) == len(events):
                yield self._send_batch(terms, encoder, piece)
            else:
                yield from self._apart(terms, encoder, piece)

    def _outcome(self, terms: Terms, event: Event) -> DeliveryError | None:
        """What became of one event, where more are to follow unless the endpoint is at fault."""
        try:
            self._send_one(terms, event)
        except PermanentDeliveryError as error:
            if fault_of(error) != EVENT:
                raise
            return error
        return None

    def _apart(
        self, terms: Terms, encoder: BatchEncoder, items: list[Item]
    ) -> Iterator[Sequence[DeliveryError | None]]:
        """Of a part of a batch. One that is refused for what is in it is sent in halves, down to the event that is to
        blame: who gave us the batch sees that only if it is refused as a whole."""
        try:
            yield self._send_batch(terms, encoder, items)
            return
        except PermanentDeliveryError as error:
            if fault_of(error) != EVENT:
                raise
            refusal = error
        half = len(items) // 2
        if not half:
            yield [refusal]
            return
        yield from self._apart(terms, encoder, items[:half])
        yield from self._apart(terms, encoder, items[half:])

    def _send_one(self, terms: Terms, event: Event) -> None:
        message = Message(terms.single.encode(event), headers_of(event, self.id), event)
        answer = self._deliver(terms, message, ANSWER_BYTES)
        if error := _error_of(answer.status, answer.wait_s):
            raise error

    def _send_batch(self, terms: Terms, encoder: BatchEncoder, items: list[Item]) -> Sequence[DeliveryError | None]:
        events = [event for event, _ in items]
        about = batch_body.batch_event(events)
        headers = {batch_body.ID_HEADER: about.id, batch_body.SIZE_HEADER: str(len(events))}
        body = encoder.batch(about.id, [item for _, item in items])
        answer = self._deliver(terms, Message(body, headers, about), BATCH_ANSWER_BYTES)
        if error := _error_of(answer.status, answer.wait_s):
            raise error
        told = batch_body.results(answer.content) if answer.content else None
        if told is None and answer.status == batch_body.MULTI_STATUS:
            raise TransientDeliveryError("server returned status 207 without results", "results_unreadable")
        return [_error_of((told or {}).get(event.id, answer.status), answer.wait_s) for event in events]

    @contextmanager
    def _until(self, deadline: float) -> Iterator[None]:
        """End what is inside at the deadline, and say what went wrong in our own words."""
        limit = gevent.Timeout(self._left_s(deadline))
        try:
            with limit:
                yield
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            raise TransientDeliveryError("timed out", "timeout") from expired
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _network_error(error) from error

    def _left_s(self, deadline: float) -> float:
        return max(deadline - self._clock.monotonic(), 0.001)

    def _asker(self, deadline: float) -> Ask:
        """What asks the receiver for its terms. That takes half of the time at most, so that events can still be sent
        to one that never answers; without an answer the result is None."""

        def ask(headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]] | None:
            template = self._template.headers.copy()
            template.pop("Content-Type", None)
            template.update(headers)
            request = _Request("OPTIONS", template, None)
            try:
                answer = gevent.with_timeout(
                    self._left_s(deadline) / 2, self._post, request, ANSWER_BYTES, timeout_value=None
                )
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
                return None  # what is wrong with the endpoint the event itself will meet
            return (answer.status, answer.headers) if answer else None

        return ask

    def _deliver(self, terms: Terms, message: Message, most_bytes: int) -> _Answer:
        """The answer; to a new token if the receiver does not take the one it got."""
        self._wire.spend()
        request = self._request(terms, message)
        answer = self._post(request, most_bytes)
        if answer.status == 401 and self._has_new_token(request):
            answer = self._post(self._request(terms, message), most_bytes)
        if answer.status == _FORMAT_STATUS:
            self._wire.refused()
        return answer

    def _has_new_token(self, refused: _Request) -> bool:
        authorization = refused.headers.get("Authorization", "")
        return any(isinstance(signer, OAuth2Signer) and signer.refused(authorization) for signer in self._signers)

    def _request(self, terms: Terms, message: Message) -> _Request:
        content_type, headers, content = message.body
        length = {"Content-Type": content_type, "Content-Length": str(len(content))}
        plain = {**self._base_headers, **length, **headers, **message.headers, **terms.headers}
        if not (self._own_headers or self._signers):
            return _Request("POST", plain, content)
        ours: MutableMapping[str, str] = CaseInsensitiveDict(plain)  # the operator may write a name in another way
        ours.update(self._own_headers)
        for signer in self._signers:
            ours.update(signer.headers(content, message.about, self._clock.wall()))
        return _Request("POST", ours, content)

    def _post(self, request: _Request, most_bytes: int) -> _Answer:
        """The answer. Sent once more, at once, when a kept connection turned out to be closed by the
        receiver without a byte of an answer: that is no failure of theirs, but it may have read the request."""
        route = self._route
        if route is None:
            route = self._route = self._adapter.route_of(self._template)
        opened = route.pool.num_connections
        try:
            return self._exchange(route, request, most_bytes)
        except urllib3.exceptions.HTTPError as error:
            reused = route.pool.num_connections == opened
            if not (reused and isinstance(root_of(error), _STALE)):
                raise
        request.headers.setdefault("X-RTMP-Redelivered", ERROR)
        return self._exchange(route, request, most_bytes)

    def _exchange(self, route: Route, request: _Request, most_bytes: int) -> _Answer:
        response = route.exchange(*request)
        try:
            content = head_of(response, most_bytes)
        finally:
            response.close()
            response.release_conn()
        headers = response.headers
        wish = headers.get("Retry-After")
        wait_s = retry_after_s(wish, headers.get("Date", ""), self._clock.wall()) if wish else None
        return _Answer(response.status, wait_s, headers, content)


def _error_of(status: int, wait_s: float | None) -> DeliveryError | None:
    """What a status means, None if the event is delivered."""
    if 200 <= status < 300:
        return None
    text, code = f"server returned status {status}", f"status:{status}"
    if status in _TRANSIENT_STATUS or status >= 500:
        return TransientDeliveryError(text, code, wait_s)
    return PermanentDeliveryError(text, code)


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
        "User-Agent": f"rtmpd/{__version__}",
        "Accept": "*/*",
    })
    return request


def path_of(url: str) -> str:
    """The path as it stands in the request line, without the query. ``url`` is one that can be used."""
    request = requests.PreparedRequest()
    request.prepare(method="POST", url=url)
    return urlsplit(request.url or "").path or "/"


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
