"""What a client asks for: connect, publish and play, granted or refused."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

from ..errors import AccessDenied, AppRejected, InvalidStreamKey, LimitReached, Rejected
from ..protocol.constants import BANDWIDTH_DYNAMIC, CSID_CONTROL
from ..protocol.control import set_chunk_size, set_peer_bandwidth, window_ack_size
from ..protocol.notice import Asked, ConnectAsked, PlayAsked, PublishAsked, Reply
from .access.gate import Gate
from .access.question import is_clean
from .activity import Activity
from .budget import Budget
from .client import Client
from .context import Context
from .report import Reporter

_TEXT_CHARACTERS: Final = 256
_UNCLEAN: Final = "a stream name may not hold control characters, nor be over 512 bytes long"


@lru_cache(maxsize=4)
def _greeting(window_bytes: int, chunk_bytes: int) -> tuple[Reply, ...]:
    """What every client is told before its connect is answered."""
    return (
        Reply(CSID_CONTROL, window_ack_size(window_bytes)),
        Reply(CSID_CONTROL, set_peer_bandwidth(window_bytes, BANDWIDTH_DYNAMIC)),
        Reply(CSID_CONTROL, set_chunk_size(chunk_bytes)),
    )


class Requests:
    """Answers the requests of one client."""

    __slots__ = ("_activity", "_budget", "_client", "_context", "_report", "gate")

    def __init__(self, client: Client, context: Context, activity: Activity, report: Reporter) -> None:
        self._client = client
        self._context = context
        self._activity = activity
        self._report = report
        self._budget = Budget(client.accepted_at)
        self.gate = Gate(client, context)

    def answer(self, asked: Asked) -> None:
        """Grant or refuse. A refusal is sent, then the connection ends. Raises CommandError, and ConnectionLost if the
        client does not wait for the answer. May switch greenlets."""
        self._budget.spend(self._context.clock.monotonic())
        try:
            if isinstance(asked, ConnectAsked):
                self._connect(asked)
            elif isinstance(asked, PublishAsked):
                self._publish(asked)
            else:
                self._play(asked)
        except Rejected as error:
            self._report.refused(asked, error)
            if isinstance(error, AccessDenied):
                self.gate.hold_back(error)
            self._client.send(self._client.session.reject(asked, error))
            self._client.leave("rejected")

    def _connect(self, asked: ConnectAsked) -> None:
        client, context = self._client, self._context
        request = asked.request
        if not request.app or not is_clean(request.app):
            raise AppRejected("an application name is needed: rtmp://host/application/stream")
        if not context.apps.serves(request.app):
            raise AppRejected(f"the application {request.app} is not served here")
        limit = context.limits.connections_per_app
        if limit and context.connections_of(request.app) >= limit:
            raise LimitReached(f"{request.app} has its {limit} connections")
        if context.draining:
            raise LimitReached("the server is stopping")
        client.app = context.shared(request.app)
        client.flash_ver = context.shared(request.flash_ver[:_TEXT_CHARACTERS])
        self.gate.query = request.query
        greeting = _greeting(context.server.window_ack_bytes, context.server.chunk_size_bytes)
        client.send([*greeting, *client.session.accept(asked)])
        client.expect("", 0.0)

    def _publish(self, asked: PublishAsked) -> None:
        """The client sees the name it asked for, whatever the stream is called by the verdict."""
        if not is_clean(asked.name):
            raise InvalidStreamKey(_UNCLEAN)
        verdict = self.gate.publish(asked)
        granted = replace(asked, name=verdict.name) if verdict.name else asked
        publishing = self._activity.publish(granted, verdict)
        self._client.send(self._client.session.accept(asked))
        publishing.started(granted, verdict.identity)
        self._client.expect("first_media", self._context.limits.first_media_timeout_s)

    def _play(self, asked: PlayAsked) -> None:
        if not is_clean(asked.name):
            raise InvalidStreamKey(_UNCLEAN, "NetStream.Play.Failed")
        verdict = self.gate.play(asked)
        granted = replace(asked, name=verdict.name) if verdict.name else asked
        live = self._context.registry.admit_player(self._client.app, granted.name)
        if not live:
            self._report.nobody_publishes(granted.name, waits=True)
        self._client.send(self._client.session.accept(asked))
        self._activity.play(granted, verdict)
