"""Waits for the verdict on a client's request, while its stream key is reserved.

A verdict that takes an HTTP request is awaited in a greenlet of its own, so that the end of the
connection (the client leaves, the server stops) ends the wait too, and frees what was held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import gevent

from ..errors import AccessDenied, ConnectionLost
from ..identity import StreamId
from ..log import logger
from ..protocol.notice import PlayAsked, PublishAsked
from ..settings import PLAY, PUBLISH
from .access.access import Rule
from .access.question import ADMITTED, Question, Verdict, token_of
from .context import Context

if TYPE_CHECKING:
    from .connection import Connection

_log = logger("server")

# OBS and GStreamer know the first and say that access is denied; librtmp knows the second, and no other for play.
DENIED: Final = {PublishAsked: "NetStream.Publish.Denied", PlayAsked: "NetStream.Play.Failed"}

T = TypeVar("T")


class Gate:
    """The verdicts for one client. ``query`` is what followed a ``?`` in its application or its tcUrl."""

    __slots__ = ("_client", "_context", "_is_cut", "_waiting", "query")

    def __init__(self, client: Connection, context: Context) -> None:
        self._client = client
        self._context = context
        self._waiting: gevent.Greenlet[[], Any] | None = None
        self._is_cut = False
        self.query = ""

    @property
    def waits(self) -> bool:
        """Whether the client waits for a verdict."""
        return self._waiting is not None

    def publish(self, asked: PublishAsked, stream: StreamId) -> Verdict:
        """Return the verdict for a publish of ``stream``; until then no other client gets the key.

        Raises AccessDenied, StreamBusy, LimitReached, and ConnectionLost if the connection ends meanwhile. May
        switch greenlets, but not after key and quota are free again, so a caller that claims them at once gets them.
        """
        client, context = self._client, self._context
        limit = context.apps.of(stream.app).max_publishers_per_address
        rule = context.access.rule(stream.app, PUBLISH)
        if not rule.asks:
            context.quota.check(PUBLISH, stream.app, client.address, limit)
            return self._verdict(rule, PUBLISH, asked, stream)
        with (
            context.quota.held(PUBLISH, stream.app, client.address, limit),
            context.registry.reserved(*stream, client.conn_id, client.address),
        ):
            return self._verdict(rule, PUBLISH, asked, stream)

    def play(self, asked: PlayAsked, stream: StreamId) -> Verdict:
        """Return the verdict for a play of ``stream``. Raises and switches like ``publish``; no key is held."""
        client, context = self._client, self._context
        limit = context.apps.of(stream.app).max_players_per_address
        rule = context.access.rule(stream.app, PLAY)
        if not rule.asks:
            context.quota.check(PLAY, stream.app, client.address, limit)
            return self._verdict(rule, PLAY, asked, stream)
        with context.quota.held(PLAY, stream.app, client.address, limit):
            return self._verdict(rule, PLAY, asked, stream)

    def hold_back(self, error: AccessDenied) -> None:
        """Delay the refusal of a client that is refused over and over. May switch greenlets. Raises ConnectionLost if
        the connection ends meanwhile."""
        delay_s = self._context.access.tarpit.refused(self._client.address)
        if delay_s:
            _log.info("refusal is held back", conn_id=self._client.conn_id, delay_sec=delay_s)
            self._await(lambda: gevent.sleep(delay_s))

    def cut(self) -> None:
        """End the wait, because the connection ends."""
        self._is_cut = True
        if self._waiting is not None:
            self._waiting.kill(block=False)

    def _verdict(self, rule: Rule, action: str, asked: PublishAsked | PlayAsked, stream: StreamId) -> Verdict:
        if rule.is_open:
            return ADMITTED
        client = self._client
        token = token_of(asked.query, self.query)
        question = Question(action, stream, token, client.address, client.port)
        verdict = self._await(lambda: rule.judge(question)) if rule.asks else rule.judge(question)
        if not verdict.allowed:
            raise AccessDenied(verdict.reason, DENIED[type(asked)])
        return verdict

    def _await(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns. Raises ConnectionLost if the connection ends first."""
        if self._is_cut:
            raise ConnectionLost("the connection ended", clean=True)
        waiting: gevent.Greenlet[[], T] = gevent.Greenlet(work)
        self._waiting = waiting
        waiting.name = f"access {self._client.conn_id}"
        waiting.start()
        try:
            result: T | gevent.GreenletExit = waiting.get()
        finally:
            self._waiting = None
        if isinstance(result, gevent.GreenletExit):
            raise ConnectionLost("the connection ended while it waited", clean=True)
        return result
