"""The mode callback: asks an HTTP server with a POST.

    {"action": "publish", "app": "live", "stream_name": "a", "stream_key": "live/a", "token": "x",
     "remote_addr": "192.0.2.7:50123"}

=================================  ==================================================================
answer                             meaning
=================================  ==================================================================
200                                admitted, with what the JSON body says if it is an object
other 2xx, 4xx                     refused
3xx, 408, 425, 429, 5xx            no answer: ``callback_failure`` decides
network error, timeout             no answer either
=================================  ==================================================================

With ``callback_answer = code`` a 200 admits only with a body of 0, or an object whose ``code`` is 0, which is what SRS
asks of its back ends.

Members of the body, all optional: ``allow`` (false refuses), ``reason``, ``identity``, ``stream_name``
(rename the stream), ``lease`` (seconds), ``max_bitrate`` (bits per second of a publisher).
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from ...clock import Clock
from ...errors import DeliveryError
from ...identity import is_clean, segments
from ...settings import ANSWER_CODE, ANSWER_STATUS, FAILURE_ALLOW, FAILURE_LAST_KNOWN_GOOD, AccessSettings
from ...text import without_control
from .question import ADMITTED, Question, Verdict, refused

#: Sends the body and returns status and body of the answer, within so many seconds. Raises DeliveryError, in words
#: that hold no secret. May switch greenlets.
Ask = Callable[[bytes, float], tuple[int, bytes]]

REMEMBERED: Final = 10_000
PENDING: Final = 512
REMEMBERED_S: Final = 24 * 3600.0

_NO_ANSWER: Final = frozenset((408, 425, 429))
_TEXT_CHARS: Final = 256
_MAX_NUMBER: Final = 1e12


class Callback:
    """Asks with ``ask``. The answer to a client stands for the same question of that client for ``callback_cache_s``;
    for the policy last-known-good it is remembered for a day. At most ``PENDING`` questions are under way."""

    def __init__(self, settings: AccessSettings, ask: Ask, clock: Clock, answer: str = ANSWER_STATUS) -> None:
        self._ask = ask
        self._clock = clock
        self._needs_code = answer == ANSWER_CODE
        self._timeout_s = settings.callback_timeout_s
        self._cache_s = settings.callback_cache_s
        self._failure = settings.callback_failure
        self._remembers = bool(settings.callback_cache_s) or self._failure == FAILURE_LAST_KNOWN_GOOD
        self._verdicts: OrderedDict[bytes, tuple[Verdict, float]] = OrderedDict()
        self._pending = 0

    def judge(self, question: Question) -> Verdict:
        """Return the answer, or what the policy says without one. May switch greenlets."""
        key = _key(question)
        verdict, age_s = self._known(key)
        if verdict is not None and age_s < self._cache_s:
            return verdict
        try:
            found = self._answer(question)
        except DeliveryError as error:
            return self._without_answer(verdict, error)
        self._remember(key, found)
        return found

    def _answer(self, question: Question) -> Verdict:
        if self._pending >= PENDING:
            raise DeliveryError(f"{PENDING} questions are pending")
        self._pending += 1
        try:
            status, body = self._ask(_request(question), self._timeout_s)
        finally:
            self._pending -= 1
        if status == 200:
            return _coded(body) if self._needs_code else _verdict(body)
        if 300 <= status < 400 or status >= 500 or status in _NO_ANSWER:
            raise DeliveryError(f"status {status}")
        return refused(f"auth callback refused: status {status}")

    def _without_answer(self, last: Verdict | None, error: DeliveryError) -> Verdict:
        if self._failure == FAILURE_ALLOW:
            return ADMITTED
        if self._failure == FAILURE_LAST_KNOWN_GOOD and last is not None:
            return last
        return refused(f"auth callback failed: {error}")

    def _known(self, key: bytes) -> tuple[Verdict | None, float]:
        verdict, at = self._verdicts.get(key, (None, 0.0))
        age_s = self._clock.monotonic() - at
        return (verdict, age_s) if age_s < REMEMBERED_S else (None, 0.0)

    def _remember(self, key: bytes, verdict: Verdict) -> None:
        if not self._remembers:
            return
        self._verdicts.pop(key, None)
        self._verdicts[key] = verdict, self._clock.monotonic()
        if len(self._verdicts) > REMEMBERED:
            self._verdicts.popitem(last=False)


def _request(question: Question) -> bytes:
    return json.dumps({
        "action": question.action,
        "app": question.stream.app,
        "stream_name": question.stream.name,
        "stream_key": question.stream.key,
        "token": question.token,
        "remote_addr": question.remote_addr,
    }).encode()


def _key(question: Question) -> bytes:
    """All that was asked but the port, which is another one each time. A digest, as it holds a secret."""
    asked = (question.action, *question.stream, question.token, question.address)
    return hashlib.sha256(json.dumps(asked).encode()).digest()


def _verdict(body: bytes) -> Verdict:
    """Return what a body with status 200 says; anything but a JSON object admits without more. Raises DeliveryError for
    an object that is not valid."""
    if not body.lstrip().startswith(b"{"):
        return ADMITTED
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise DeliveryError("the answer is not JSON") from None
    if _member(said, "allow", bool, True) is False:
        reason = without_control(_member(said, "reason", str, "")[:_TEXT_CHARS]) or "no reason given"
        return refused(f"auth callback refused: {reason}")
    name = _member(said, "stream_name", str, "")
    if not is_clean(name) or "?" in name or bool(name) != bool(segments(name)):
        raise DeliveryError("the answer has a stream_name that cannot be used")
    return Verdict(
        True,
        identity=without_control(_member(said, "identity", str, "")[:_TEXT_CHARS]),
        name=name,
        lease_s=_number(said, "lease"),
        max_bps=_number(said, "max_bitrate"),
    )


def _coded(body: bytes) -> Verdict:
    """Return what a body says in which the code decides. Raises DeliveryError as ``_verdict`` does."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return refused("auth callback refused: the answer has no code")
    code = said.get("code") if isinstance(said, dict) else said
    if isinstance(code, bool) or code != 0:
        return refused(f"auth callback refused: code {without_control(str(code)[:_TEXT_CHARS])}")
    return _verdict(body)


def _member(said: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    value = said.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise DeliveryError(f"the answer has a {name} that cannot be used")
    return value


def _number(said: dict[str, Any], name: str) -> float:
    value = said.get(name)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MAX_NUMBER:
        raise DeliveryError(f"the answer has a {name} that cannot be used")
    return float(value)
