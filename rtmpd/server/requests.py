"""Handles connect, publish and play requests of a client: admits or refuses them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..bucket import TokenBucket
from ..errors import AccessDenied, AppRejected, CommandError, InvalidStreamKey, LimitReached, Rejected
from ..identity import QUERY_ONLY, Applications, StreamId, is_clean, segments
from ..protocol.constants import BANDWIDTH_DYNAMIC, CSID_CONTROL
from ..protocol.control import set_chunk_size, set_peer_bandwidth, window_ack_size
from ..protocol.notice import Asked, ConnectAsked, PlayAsked, PublishAsked, Reply
from .access.question import Verdict
from .activity import Activity
from .context import Context
from .gate import DENIED, Gate
from .report import Reporter

if TYPE_CHECKING:
    from .connection import Connection

_TEXT_CHARACTERS: Final = 256
_AT_ONCE: Final = 40  # each connect, publish and play makes events for everybody's hooks
_PER_S: Final = 5
_FAILED: Final = {PublishAsked: "NetStream.Publish.BadName", PlayAsked: "NetStream.Play.Failed"}


@lru_cache(maxsize=4)
def _greeting(window_bytes: int, chunk_bytes: int) -> tuple[Reply, ...]:
    """Return what is sent to every client before its connect is answered."""
    return (
        Reply(CSID_CONTROL, window_ack_size(window_bytes)),
        Reply(CSID_CONTROL, set_peer_bandwidth(window_bytes, BANDWIDTH_DYNAMIC)),
        Reply(CSID_CONTROL, set_chunk_size(chunk_bytes)),
    )


class Requests:
    """Answers the requests of one client.

    connect names the beginning of a path only, so what it decides is provisional: a client whose path cannot lead to
    an application that is served is refused, and one connection more counts for the application of that beginning.
    publish and play know the whole path. What it identifies (``identity``) is what every rule goes by.
    """

    __slots__ = ("_activity", "_budget", "_client", "_context", "_path", "_report", "gate")

    def __init__(self, client: Connection, context: Context, activity: Activity, report: Reporter) -> None:
        self._client = client
        self._context = context
        self._activity = activity
        self._report = report
        self._path = ""
        self._budget = TokenBucket(_PER_S, _AT_ONCE, context.clock.monotonic)
        self.gate = Gate(client, context)

    def answer(self, asked: Asked) -> None:
        """Grant or refuse. A refusal is sent, then the connection ends. Raises CommandError, and ConnectionLost if the
        client does not wait for the answer. May switch greenlets."""
        if not self._budget.take():
            text = f"over {_AT_ONCE} connect, publish and play requests at once and {_PER_S} a second"
            raise CommandError(text, "too_many_requests")
        stream: StreamId | None = None
        try:
            if isinstance(asked, ConnectAsked):
                self._connect(asked)
            else:
                stream = self._identify(asked)
                self._admit(asked, stream)
                if isinstance(asked, PublishAsked):
                    self._publish(asked, stream)
                else:
                    self._play(asked, stream)
        except Rejected as error:
            if isinstance(asked, ConnectAsked):
                stream = StreamId(asked.request.app, "")
            elif stream is None:
                stream = StreamId(self._client.app, asked.name)
            self._report.refused(asked, stream, error)
            if isinstance(error, AccessDenied):
                self.gate.hold_back(error)
            self._client.peer.send_all(self._client.session.reject(asked, error))
            self._client.leave("rejected")

    def _connect(self, asked: ConnectAsked) -> None:
        client, context = self._client, self._context
        request = asked.request
        path = segments(request.app)
        app = context.applications.app_of(path)
        if not app:
            raise AppRejected("an application name is needed: rtmp://host/application/stream")
        if not is_clean(request.app):
            raise AppRejected("the name of the application has control characters, is not UTF-8 or is too long")
        if not context.applications.serves(app) and not context.applications.may_serve(path):
            raise AppRejected(f"the application {app} is not served here")
        limit = context.limits.connections_per_app
        if limit and context.connections_of(app) >= limit:
            raise LimitReached(f"{app} has its {limit} connections")
        if context.draining:
            raise LimitReached("the server is stopping")
        client.app = context.shared(app)
        client.flash_ver = context.shared(request.flash_ver[:_TEXT_CHARACTERS])
        self._path = client.app if len(path) == 1 else context.shared("/".join(path))
        self.gate.query = request.query
        greeting = _greeting(context.server.window_ack_bytes, context.server.chunk_size_bytes)
        client.peer.send_all([*greeting, *client.session.accept(asked)])
        client.deadline = 0.0

    def _identify(self, asked: PublishAsked | PlayAsked) -> StreamId:
        """Return the stream that is meant. Raises InvalidStreamKey."""
        try:
            return self._context.applications.identify(segments(self._path, asked.name), asked.query)
        except InvalidStreamKey as error:
            error.status = _FAILED[type(asked)]
            raise

    def _admit(self, asked: PublishAsked | PlayAsked, stream: StreamId) -> None:
        """Check what connect could not: the application may be another than the one that the path began with. Raises
        InvalidStreamKey, LimitReached."""
        client, context = self._client, self._context
        if not context.applications.serves(stream.app):
            raise InvalidStreamKey(f"the application {stream.app} is not served here", _FAILED[type(asked)])
        limit = context.limits.connections_per_app
        belongs = client.app == stream.app or stream.app in self._activity.apps
        if limit and not belongs and context.connections_of(stream.app) >= limit:
            raise LimitReached(f"{stream.app} has its {limit} connections", _FAILED[type(asked)])

    def _publish(self, asked: PublishAsked, stream: StreamId) -> None:
        """Begin the publish. The answer has the name that the client asked for, even if the verdict renamed the
        stream."""
        applications = self._context.applications
        verdict = self.gate.publish(asked, stream)
        stream = granted(self._context, stream, verdict, applications, DENIED[type(asked)])
        publishing = self._activity.publish(asked, stream, verdict)
        if self._client.app != stream.app:
            self._client.app = self._context.shared(stream.app)
        self._client.peer.send_all(self._client.session.accept(asked))
        publishing.started(asked)
        self._client.expect("first_media", self._context.limits.first_media_timeout_s)

    def _play(self, asked: PlayAsked, stream: StreamId) -> None:
        applications = self._context.applications
        verdict = self.gate.play(asked, stream)
        stream = granted(self._context, stream, verdict, applications, DENIED[type(asked)])
        live = self._context.registry.admit_player(*stream)
        if not live:
            self._report.nobody_publishes(stream, waits=True)
        if self._client.app != stream.app:
            self._client.app = self._context.shared(stream.app)
        self._client.peer.send_all(self._client.session.accept(asked))
        self._activity.play(asked, stream, verdict)


def granted(
    context: Context, stream: StreamId, verdict: Verdict, applications: Applications, denied: str
) -> StreamId:
    """Return the stream that the verdict is for: ``stream``, which ``applications`` identified, or the name in its
    place that a callback gave.

    It was judged by the rules of its application and by no other's. Raises AccessDenied with the status ``denied`` if
    it belongs to another one: because of the name that the callback gave, or since a reload that came while the client
    waited.
    """
    if not verdict.name and applications is context.applications and stream.name != QUERY_ONLY:
        return stream
    path = segments(stream.app, verdict.name) if verdict.name else segments(stream.key)
    try:
        found = context.applications.identify(path)
    except InvalidStreamKey:
        found = StreamId("", "")
    if found.app != stream.app:
        what = f"renamed to {'/'.join(path)}, which" if verdict.name else f"{stream.key}, which by now"
        raise AccessDenied(f"{what} is not a stream of {stream.app}", denied)
    return found
