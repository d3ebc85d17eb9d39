"""What a receiver agrees to before it is sent events: the handshake of CloudEvents' webhooks (HTTP webhook 1.0, 4),
which here asks for the version of what is sent too.

============================  ==========================================================================
OPTIONS to the hook's URL
============================  ==========================================================================
WebHook-Request-Origin        our node; every later POST repeats it
WebHook-Request-Rate          requests a minute that we will hardly pass, where the hook has a rate limit
WebHook-Request-Formats       what can be sent, best first: ``json;schema=2, json;schema=1, batch;max=50``
============================  ==========================================================================

============================  ==========================================================================
answer
============================  ==========================================================================
WebHook-Allowed-Origin        our node or ``*``: consent. Its status says nothing
WebHook-Allowed-Rate          requests a minute at most, or ``*``
WebHook-Allowed-Formats       one of the formats, and ``batch;max=N`` if batches are welcome
============================  ==========================================================================

An answer without a format, and with ``lazy`` no answer at all, means schema 1, one event in a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gevent.lock import RLock

from ...bucket import TokenBucket
from ...clock import Clock
from ...errors import AuthDeliveryError
from ...settings import (
    FORMAT_BINARY,
    FORMAT_JSON,
    FORMAT_STRUCTURED,
    NEGOTIATE_REQUIRED,
    BodySettings,
    RateLimit,
)
from .format import Ask, Form, Terms, terms_of

VALID_S = 86400.0
AGAIN_S = 60.0

_ORIGIN = "WebHook-Request-Origin"
_ALLOWED_ORIGIN = "WebHook-Allowed-Origin"
_WORDS: dict[Form, str] = {
    Form(FORMAT_JSON, 2): "json;schema=2",
    Form(FORMAT_JSON, 1): "json;schema=1",
    Form(FORMAT_STRUCTURED): "cloudevents;mode=structured",
    Form(FORMAT_BINARY): "cloudevents;mode=binary",
}
_FORMS = {word: form for form, word in _WORDS.items()}
_MAX = re.compile(r"batch(?:;max=(\d{1,6}))?", re.ASCII)
_RATE = re.compile(r"\d{1,9}", re.ASCII)


class Agreement(NamedTuple):
    """What an answer says. ``per_minute`` are requests, None for as many as there are."""

    form: Form = Form()
    batch_events: int = 1
    per_minute: int | None = None


class NegotiatedTerms:
    """Terms that the receiver was asked for. An agreement is good for a day; an endpoint that could not be asked is
    asked again after a minute, on the terms there were. Belongs to one URL."""

    def __init__(self, body: BodySettings, node: str, batch_events: int, rate: RateLimit | None, clock: Clock) -> None:
        self._required = body.negotiate == NEGOTIATE_REQUIRED
        self._node = node
        self._batch_events = batch_events
        self._clock = clock
        self._headers = offer(node, _offered(Form(body.format, body.schema)), batch_events, rate)
        self._asking = RLock()  # one handshake, however many events wait for it
        self._agreement: Agreement | None = None
        self._terms = self._terms_of(Agreement())
        self._bucket: TokenBucket | None = None
        self._ask_at = float("-inf")

    @property
    def allowed_rate(self) -> float | None:
        """Requests a second that the receiver allows, None for as many as there are."""
        rate = self._agreement.per_minute if self._agreement else None
        return rate / 60 if rate else None

    def now(self, ask: Ask) -> Terms:
        """The terms, agreed upon now if they are not. Raises AuthDeliveryError without a consent that is required, and
        what ``ask`` raises. May switch greenlets."""
        if self._clock.monotonic() >= self._ask_at:
            with self._asking:
                if self._clock.monotonic() >= self._ask_at:
                    self._negotiate(ask)
        return self._terms

    def spend(self) -> None:
        """A request is to be sent. Raises AuthDeliveryError, which says how long to wait, if that would be more than
        the agreed rate."""
        if self._bucket and not self._bucket.take():
            raise AuthDeliveryError("over the rate that the receiver allows", "over_rate", self._bucket.wait_s())

    def refused(self) -> None:
        """The receiver does not understand what it was sent: ask again before the next one."""
        self._ask_at = float("-inf")

    def _negotiate(self, ask: Ask) -> None:
        answer = ask(self._headers)
        if answer is None or answer[0] in (408, 429) or answer[0] >= 500:
            if self._required and self._agreement is None:
                raise AuthDeliveryError("the receiver could not be asked for its consent", "no_consent")
            self._ask_at = self._clock.monotonic() + AGAIN_S
            return
        agreement = read_answer(answer[1], self._node, self._batch_events)
        if agreement is None and self._required:
            self._agreement = None
            self._ask_at = float("-inf")
            raise AuthDeliveryError(f"the receiver gives no consent: no {_ALLOWED_ORIGIN} for us", "no_consent")
        self._agreed(agreement or Agreement())
        self._ask_at = self._clock.monotonic() + VALID_S

    def _agreed(self, agreement: Agreement) -> None:
        if self._agreement is None or agreement.per_minute != self._agreement.per_minute:
            per_minute = agreement.per_minute
            burst = max((per_minute or 0) // 60, 1)
            self._bucket = TokenBucket(per_minute / 60, burst, self._clock.monotonic) if per_minute else None
        self._agreement = agreement
        self._terms = self._terms_of(agreement)

    def _terms_of(self, agreement: Agreement) -> Terms:
        terms = terms_of(agreement.form, self._node, agreement.batch_events)
        return terms._replace(headers={_ORIGIN: self._node})


def offer(node: str, forms: Sequence[Form], batch_events: int, rate: RateLimit | None) -> dict[str, str]:
    """The headers of the request."""
    words = [_WORDS[form] for form in forms] + ([f"batch;max={batch_events}"] if batch_events > 1 else [])
    headers = {_ORIGIN: node, "WebHook-Request-Formats": ", ".join(words)}
    if rate:
        headers["WebHook-Request-Rate"] = str(max(round(rate.events * 60 / rate.window_s), 1))
    return headers


def read_answer(headers: Mapping[str, str], node: str, batch_events: int) -> Agreement | None:
    """What the headers (in upper or lower case) agree to, of all forms and batches of up to ``batch_events``; None if
    they give no consent. What cannot be read has not been said."""
    said = {name.lower(): value.strip() for name, value in headers.items()}
    allowed = said.get(_ALLOWED_ORIGIN.lower(), "")
    if allowed != "*" and allowed.lower() != node.lower():
        return None
    words = ["".join(word.split()).lower() for word in said.get("webhook-allowed-formats", "").split(",")]
    form = next((_FORMS[word] for word in words if word in _FORMS), Form())
    most = max((int(match[1] or batch_events) for word in words if (match := _MAX.fullmatch(word))), default=1)
    rate = said.get("webhook-allowed-rate", "")
    per_minute = int(rate) if _RATE.fullmatch(rate) and int(rate) else None
    return Agreement(form, max(min(most, batch_events), 1), per_minute)


def _offered(wanted: Form) -> list[Form]:
    """The configured form first; the others as a receiver may know just these."""
    first = wanted if wanted in _WORDS else Form(wanted.format)
    return [first, *(form for form in _WORDS if form != first)]
