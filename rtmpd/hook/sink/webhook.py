"""Sends a POST for each event or batch; the status of the answer decides.

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

``fault`` decides whether a failure counts against the event, the endpoint or the credentials.

The head of an answer decides; its body is read for a batch only. ``http`` sends the request, ``auth`` proves who sends
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import gevent

from ... import __version__
from ...clock import Clock
from ...errors import (
    ConfigError,
    DeliveryError,
    PermanentDeliveryError,
    Problem,
    TransientDeliveryError,
)
from ...event.birth import trace_id_of
from ...event.event import Event
from ...log import redact
from ...settings import HttpSettings
from ..auth.oauth2 import OAuth2Signer
from ..auth.signing import Signer
from ..body.format import (
    BATCH_ID_HEADER,
    BATCH_SIZE_HEADER,
    MULTI_STATUS,
    Ask,
    BatchEncoder,
    FixedTerms,
    Form,
    Item,
    Terms,
    batch_event,
    cut,
    results_of,
    terms_of,
)
from ..body.schema import Body, tries_of
from ..exchange import NOTHING, Answer, Wanted
from ..fault import EVENT, fault_of, retry_after_s
from ..http import HttpClient, Target, target_of, trouble
from ..redelivery import ERROR

BATCH_ANSWER_BYTES = 256 * 1024
_RESULTS = Wanted(BATCH_ANSWER_BYTES)
_PREVIEW_S = 5.0

_PLAIN = HttpSettings()
_TRANSIENT_STATUS = frozenset({408, 425, 429})
_FORMAT_STATUS = 415
_AGAIN = {"X-RTMP-Redelivered": ERROR}


class Wire(Protocol):
    """Under which terms events are sent: ``format.FixedTerms`` or ``negotiation.NegotiatedTerms``."""

    @property
    def allowed_rate(self) -> float | None: ...

    def now(self, ask: Ask) -> Terms: ...

    def spend(self) -> None: ...

    def refused(self) -> None: ...


class Message(NamedTuple):
    """What is posted: ``about`` is the event that it is signed for."""

    body: Body
    headers: dict[str, str]
    about: Event


def headers_of(event: Event, hook_id: str) -> dict[str, str]:
    """What travels beside the body of one event."""
    headers = {
        "X-RTMP-Event-Id": event.id,
        "X-RTMP-Event-Seq": str(event.seq),
        "X-RTMP-Severity": event.severity,
    }
    attempt, redelivered = tries_of(event)
    if attempt:
        headers["X-RTMP-Attempt"] = str(attempt)
    if redelivered:
        headers["X-RTMP-Redelivered"] = redelivered
    if trace := traceparent(event, hook_id, attempt or 1):
        headers["traceparent"] = trace
    return headers


def traceparent(event: Event, hook_id: str, attempt: int) -> str:
    """Return the header of that name (W3C Trace Context, 2021) for one attempt of one hook, sampled; "" if the event's
    id is not one of ours. The trace id is the event's id, so that each can be found by the other; each attempt is a
    span of its own."""
    trace = trace_id_of(event.id)
    if not trace:
        return ""
    span = hashlib.sha256(f"{trace} {hook_id} {attempt}".encode()).hexdigest()[:16]
    return f"00-{trace}-{span}-01"


class _Request(NamedTuple):
    """What goes out, to the hook's URL."""

    method: str
    headers: Mapping[str, str]
    content: bytes


class WebhookHook:
    """Posts to ``url``, over at most ``concurrency`` kept connections, in the way of ``http``, with the headers of
    ``signers``, under the terms of ``wire``. Batches have at most ``batch_bytes`` of events, if that is not 0.

    Raises ConfigError if the URL cannot be used, ValueError if a network of ``http`` is not valid.
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
        self._target = _target(id, url)
        self._own_headers = dict(http.headers)
        self._base_headers = {"User-Agent": f"rtmpd/{__version__}", "Accept": "*/*"}
        if self._target.authorization:
            self._base_headers["Authorization"] = self._target.authorization
        self._base_headers = _merged(self._base_headers, self._own_headers)
        self._client = HttpClient(http, concurrency, clock)

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
        target = self._target
        return {
            "method": "POST",
            "url": f"{target.scheme}://{target.authority}{target.path.partition('?')[0]}",
            "headers": shown,
            "signed_by": [type(signer).__name__ for signer in self._signers],
            "body": content.decode("utf-8", "replace"),
        }

    def close(self) -> None:
        """Close the kept connections."""
        self._client.close()

    # --- one request or several -----------------------------------------------------------------------

    def _outcomes(self, terms: Terms, events: Sequence[Event]) -> Iterator[Sequence[DeliveryError | None]]:
        """Of the first few events, then of the next few, and so on, as they are sent."""
        encoder = terms.batch
        if encoder is None:
            for event in events:
                yield [self._outcome(terms, event)]
            return
        items = ((event, encoder.item(event)) for event in events)
        for piece in cut(items, terms.batch_events, self._batch_bytes):
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
        answer = self._deliver(terms, message, NOTHING)
        if error := self._error_of(answer):
            raise error

    def _send_batch(self, terms: Terms, encoder: BatchEncoder, items: list[Item]) -> Sequence[DeliveryError | None]:
        events = [event for event, _ in items]
        about = batch_event(events)
        headers = {BATCH_ID_HEADER: about.id, BATCH_SIZE_HEADER: str(len(events))}
        body = encoder.batch(about.id, [item for _, item in items])
        answer = self._deliver(terms, Message(body, headers, about), _RESULTS)
        if error := self._error_of(answer):
            raise error
        results = results_of(answer.body) if answer.is_whole else None
        if results is None and (answer.status == MULTI_STATUS or _has_lost_results(answer)):
            text = f"status {answer.status}, but the results cannot be read"
            raise TransientDeliveryError(text, "results_unreadable")
        wait_s = self._wait_s(answer)
        return [_error_of((results or {}).get(event.id, answer.status), wait_s) for event in events]

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
            where = getattr(expired, "__notes__", ["no answer came"])[0]
            raise TransientDeliveryError(f"timed out: {where}", "timeout") from None
        except OSError as error:
            text, code = trouble(error)
            refused = code == "address_refused"
            raise TransientDeliveryError(text if refused else f"network error: {text}", code) from error

    def _left_s(self, deadline: float) -> float:
        return max(deadline - self._clock.monotonic(), 0.001)

    def _asker(self, deadline: float) -> Ask:
        """What asks the receiver for its terms. That takes half of the time at most, so that events can still be sent
        to one that never answers; without an answer the result is None."""

        def ask(headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]] | None:
            request = _Request("OPTIONS", _merged(self._base_headers, headers), b"")
            try:
                answer = gevent.with_timeout(
                    self._left_s(deadline) / 2, self._send, request, NOTHING, timeout_value=None
                )
            except OSError:
                return None  # what is wrong with the endpoint the event itself will meet
            return (answer.status, answer.headers) if answer else None

        return ask

    def _deliver(self, terms: Terms, message: Message, wanted: Wanted) -> Answer:
        """The answer; that to a new token if the receiver does not take the one it got."""
        self._wire.spend()
        request = self._request(terms, message)
        answer = self._send(request, wanted)
        if answer.status == 401 and self._has_new_token(request):
            answer = self._send(self._request(terms, message), wanted)
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
        now = self._clock.wall()
        proofs = [signer.headers(content, message.about, now) for signer in self._signers]
        return _Request("POST", _merged(plain, self._own_headers, *proofs), content)

    def _send(self, request: _Request, wanted: Wanted) -> Answer:
        """The answer. The receiver may have read a request that is sent once more, so the second says so."""
        return self._client.exchange(self._target, *request, wanted, _AGAIN)

    def _error_of(self, answer: Answer) -> DeliveryError | None:
        return _error_of(answer.status, None if answer.status < 300 else self._wait_s(answer))

    def _wait_s(self, answer: Answer) -> float | None:
        """What a Retry-After header asks for, None without one."""
        value = answer.headers.get("retry-after")
        return retry_after_s(value, answer.headers.get("date", ""), self._clock.wall()) if value else None


def _has_lost_results(answer: Answer) -> bool:
    """Whether an answer to a batch meant to give results, and was cut off."""
    if answer.is_whole:
        return False
    return answer.body.lstrip().startswith(b"{") or "json" in answer.headers.get("content-type", "")


def _merged(*headers: Mapping[str, str]) -> dict[str, str]:
    """The headers together; a later one replaces an earlier one, however the name is written."""
    by_name: dict[str, tuple[str, str]] = {}
    for some in headers:
        for name, value in some.items():
            by_name[name.lower()] = name, value
    return dict(by_name.values())


def _error_of(status: int, wait_s: float | None) -> DeliveryError | None:
    """What a status means, None if the event is delivered."""
    if 200 <= status < 300:
        return None
    text, code = f"server returned status {status}", f"status:{status}"
    if status in _TRANSIENT_STATUS or status >= 500:
        return TransientDeliveryError(text, code, wait_s)
    return PermanentDeliveryError(text, code)


def _target(id: str, url: str) -> Target:
    """Where the events go. Raises ConfigError."""
    try:
        return target_of(url)
    except ValueError as error:
        raise ConfigError([Problem("", f"hooks.{id}", f"not a usable URL: {error}", redact(url))]) from error


def path_of(url: str) -> str:
    """Return the path as it stands in the request line, without the query. Raises ValueError."""
    return target_of(url).path.partition("?")[0]
