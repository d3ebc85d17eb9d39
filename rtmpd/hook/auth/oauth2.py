"""OAuth2 client credentials (RFC 6749, 4.4): one token request at a time, shared by all hooks with the same client.

However many wait, one request is under way per token endpoint, client and scopes; hooks that have these in common share
the token. A token is renewed before it ends, while the old one is still used; one that a receiver refuses is
renewed once. Tokens are in memory only, and the token endpoint is held to the same egress rules as the receiver.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit
from weakref import WeakValueDictionary

import gevent
from gevent import Greenlet

from ... import __version__
from ...clock import Clock
from ...errors import AuthDeliveryError, CredentialError
from ...event.event import Event
from ...settings import AuthSettings, HttpSettings
from ..exchange import Wanted
from ..http import HttpClient, Target, basic, target_of, trouble

FETCH_S = 10.0
ANSWER_BYTES = 64 * 1024
UNSAID_LIFE_S = 600.0

CLIENT_BODY = "body"

# Renewed this long before its end, or at the last tenth of its life.
_EARLY_S = 60.0
_EARLY_PART = 0.1
# After a failure, how long its outcome holds for everybody; after a refused token, how soon the next may be.
_FAILURE_HOLDS_S = 1.0
_REFUSAL_HOLDS_S = 10.0

_WORD = re.compile(r"[a-z_]{1,40}")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750, 2.1


class TokenSource:
    """The token of one client at one token endpoint. Raises CredentialError."""

    def __init__(self, auth: AuthSettings, http: HttpSettings, clock: Clock) -> None:
        self._clock = clock
        self._target, self._headers, self._form = _token_request(auth)
        self._client = HttpClient(http, 1, clock)
        self._token = ""
        self._ends = self._renew_at = 0.0
        self._failure = AuthDeliveryError("token endpoint: no token", "oauth2:no_token")
        self._failure_ends = self._refusal_ends = float("-inf")
        self._flight: Greenlet[[], None] | None = None

    def token(self) -> str:
        """A token that is still good. Raises AuthDeliveryError if there is none to be had. May switch
        greenlets, for at most ten seconds."""
        now = self._clock.monotonic()
        if self._token and now < self._renew_at:
            return self._token
        if self._flight is None and now >= self._failure_ends:
            self._flight = gevent.spawn(self._fetch)
            self._flight.name = "hook-oauth2"
        if self._token and now < self._ends:
            return self._token
        if self._flight is not None:
            self._flight.join()
        if self._token and self._clock.monotonic() < self._ends:
            return self._token
        raise AuthDeliveryError(str(self._failure), self._failure.code)

    def refused(self, token: str) -> bool:
        """A receiver did not take ``token``: whether it is worth asking again with the next. Once, then not for a
        while: who refuses every token must not make us ask for more and more of them."""
        if token != self._token:
            return True  # another one has renewed it meanwhile
        now = self._clock.monotonic()
        if now < self._refusal_ends:
            return False
        self._refusal_ends = now + _REFUSAL_HOLDS_S
        self._token = ""
        return True

    def _fetch(self) -> None:
        """Ask the token endpoint; never raises. Switches greenlets."""
        try:
            with gevent.Timeout(FETCH_S):
                self._take(self._exchange())
        except AuthDeliveryError as error:
            self._fail(error)
        except gevent.Timeout as late:
            where = getattr(late, "__notes__", ["no answer came"])[0]
            self._fail(AuthDeliveryError(f"token endpoint: timed out: {where}", "oauth2:timeout"))
        except OSError as error:
            self._fail(AuthDeliveryError(f"token endpoint: {trouble(error)[0]}", "oauth2:network"))
        finally:
            self._flight = None
            self._client.close()  # the next one is far off

    def _exchange(self) -> dict[str, Any]:
        """The fields of the answer. Switches greenlets."""
        wanted = Wanted(ANSWER_BYTES, of_errors=True)
        answer = self._client.exchange(self._target, "POST", self._headers, self._form, wanted)
        try:
            fields = json.loads(answer.body)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            fields = {}
        if answer.status != 200:
            word = fields.get("error")
            # Only the word: the description is free text, which may repeat what we have sent.
            known = word if isinstance(word, str) and _WORD.fullmatch(word) else f"status {answer.status}"
            raise AuthDeliveryError(f"token endpoint: {known}", f"oauth2:{known.replace(' ', ':')}")
        return fields

    def _take(self, fields: dict[str, Any]) -> None:
        token = fields.get("access_token")
        kind = str(fields.get("token_type", "bearer")).lower()
        if not isinstance(token, str) or not _TOKEN.fullmatch(token) or kind != "bearer":
            raise AuthDeliveryError("token endpoint: the answer holds no bearer token", "oauth2:no_token")
        life_s = _seconds(fields.get("expires_in"))
        now = self._clock.monotonic()
        self._token = token
        self._ends = now + life_s
        self._renew_at = self._ends - min(max(_EARLY_S, life_s * _EARLY_PART), life_s / 2)

    def _fail(self, error: AuthDeliveryError) -> None:
        self._failure, self._failure_ends = error, self._clock.monotonic() + _FAILURE_HOLDS_S


class OAuth2Signer:
    """``Authorization: Bearer <token>`` with the token of ``source``."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    def headers(self, body: bytes, event: Event, now: float) -> dict[str, str]:
        """The token. Raises AuthDeliveryError. May switch greenlets."""
        return {"Authorization": f"Bearer {self._source.token()}"}

    def refused(self, authorization: str) -> bool:
        """The receiver said 401 to this header: whether the same request is worth sending with a new one."""
        return self._source.refused(authorization.removeprefix("Bearer "))


_sources: WeakValueDictionary[tuple[object, ...], TokenSource] = WeakValueDictionary()


def shared_source(auth: AuthSettings, http: HttpSettings, clock: Clock) -> TokenSource:
    """The source for these settings, the one that is there already if some hook uses it. Raises CredentialError."""
    http = replace(http, headers=())  # they are for the receiver
    key = (auth, http, clock)
    source = _sources.get(key)
    if source is None:
        source = _sources[key] = TokenSource(auth, http, clock)
    return source


def check_credentials(auth: AuthSettings) -> None:
    """Raises CredentialError if no token can be asked for with these settings."""
    for key in ("client_id", "client_secret", "token_url"):
        if not getattr(auth, key):
            raise CredentialError("is missing", key, "type = oauth2 needs client_id, client_secret and token_url")
    if urlsplit(auth.token_url).username is not None:
        raise CredentialError("has credentials", "token_url", "write them as client_id and client_secret")


def _token_request(auth: AuthSettings) -> tuple[Target, dict[str, str], bytes]:
    """Where a token is asked for, with which headers and form. Raises CredentialError."""
    check_credentials(auth)
    form = {"grant_type": "client_credentials"}
    if auth.scopes:
        form["scope"] = " ".join(auth.scopes)
    headers = {
        "User-Agent": f"rtmpd/{__version__}",
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    if auth.client_auth == CLIENT_BODY:
        form |= {"client_id": auth.client_id, "client_secret": auth.client_secret}
    else:  # RFC 6749, 2.3.1
        headers["Authorization"] = basic(quote_plus(auth.client_id), quote_plus(auth.client_secret))
    content = urlencode(form).encode()
    try:
        target = target_of(auth.token_url)
    except ValueError as error:
        raise CredentialError(f"is not a usable URL: {error}", "token_url", "write https://HOST/PATH") from error
    return target, {**headers, "Content-Length": str(len(content))}, content


def _seconds(value: object) -> float:
    """``expires_in``: some write it as text, some not at all."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        return UNSAID_LIFE_S
    return float(value)
