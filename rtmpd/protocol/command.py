"""Commands: AMF values in messages of type 20 (or 17), and what they ask for.

Source: RTMP 1.0, 7.2; capability negotiation: Enhanced RTMP v2, "Enhancing NetConnection connect
Command". Real clients leave out any of it, so every reader here has a default.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import AmfError, CommandError
from . import amf0
from .constants import COMMAND_AMF0, COMMAND_AMF3, DATA_AMF3
from .message import Message

#: capsEx of Enhanced RTMP v2: reconnect, multitrack, ModEx, nanosecond timestamps
CAPS_RECONNECT = 0x01
CAPS_MULTITRACK = 0x02
CAPS_MODEX = 0x04
CAPS_NANOSECONDS = 0x08

_EXACT = 2.0**53  # whole numbers below are whole in AMF
_MAX_KNOWN = 64  # commands that are remembered ...
_MAX_KNOWN_BYTES = 1024  # ... of at most so many bytes each
_ONCE = frozenset(("publish", "releaseStream", "FCPublish", "FCUnpublish"))

_known: dict[tuple[int, int, bytes, amf0.AmfLimits], Command] = {}


class Command:
    """One command: its name, transaction id and message stream id; command object and arguments are read when they are
    asked for, so that an argument that is not used may be anything. Nobody changes what they hold: sessions share it.

    ``rest`` reads them; without it they are what is given here.
    """

    __slots__ = ("_connect", "_failure", "_rest", "_values", "msid", "name", "transaction")

    def __init__(
        self,
        name: str,
        transaction: float = 0.0,
        object: Any = None,
        arguments: Iterable[Any] = (),
        msid: int = 0,
        rest: amf0.Reader | None = None,
    ) -> None:
        self.name = name
        self.transaction = transaction
        self.msid = msid
        self._values: list[Any] = [object, *arguments] if rest is None else []
        self._rest = rest
        self._failure: AmfError | None = None
        self._connect: ConnectRequest | None = None

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Command):
            return NotImplemented
        return self._told() == other._told()

    def __repr__(self) -> str:
        return f"Command{self._told()}"

    def _told(self) -> tuple[Any, ...]:
        return self.name, self.transaction, self.object, self.arguments, self.msid

    def _value(self, index: int, default: Any) -> Any:
        values = self._values
        if len(values) <= index and self._rest is not None:
            if self._failure is not None:
                raise self._failure
            try:
                self._rest.read(values, index + 1)
            except AmfError as error:
                self._failure = error
                raise
        return values[index] if index < len(values) else default

    @property
    def object(self) -> Any:
        """The command object; what could be read of it where it cannot be read whole, None if nothing could."""
        try:
            return self._value(0, None)
        except AmfError:
            return self._rest.outermost if self._rest is not None and not self._values else None

    @property
    def arguments(self) -> list[Any]:
        """The arguments as far as they can be read."""
        try:
            self._value(amf0.ALL, None)
        except AmfError:
            pass
        return self._values[1:]

    @property
    def fault(self) -> AmfError | None:
        """Why the command cannot be read whole, None if it can."""
        try:
            self._value(amf0.ALL, None)
        except AmfError as error:
            return error
        return self._rest.left_out if self._rest is not None else None

    def argument(self, index: int, default: Any = None) -> Any:
        """The argument at ``index``, ``default`` if it was not sent. Raises AmfError if it cannot be read."""
        return self._value(index + 1, default)

    def optional(self, index: int, default: Any = None) -> Any:
        """The argument at ``index``, ``default`` if it was not sent or cannot be read."""
        try:
            return self._value(index + 1, default)
        except AmfError:
            return default

    def text(self, index: int) -> str:
        """Return a string argument; "" if it is missing or of another type. Raises AmfError if it cannot be read."""
        value = self._value(index + 1, None)
        return value if isinstance(value, str) else ""

    def stream_name(self, index: int) -> str:
        """A stream's name with its query. Scripts make a number of one that has only digits, which is taken as those.
        Raises AmfError if it cannot be read."""
        value = self._value(index + 1, None)
        if isinstance(value, float) and value.is_integer() and 0 <= value < _EXACT:
            return str(int(value))
        return value if isinstance(value, str) else ""

    def number(self, index: int, default: float = 0.0) -> float:
        """Return a number argument; ``default`` if it is missing or of another type. Raises AmfError if it cannot be
        read."""
        value = self._value(index + 1, None)
        return value if isinstance(value, float) else default


def amf0_body(message: Message) -> bytes:
    """The AMF0 part of a command or data message.

    Types 17 and 15 carry one format byte, 0, and then AMF0 (an AMF3 value would be introduced by
    its own marker inside).
    """
    if message.type_id in (COMMAND_AMF3, DATA_AMF3) and message.payload[:1] == b"\x00":
        return message.payload[1:]
    return message.payload


def read_command(message: Message, limits: amf0.AmfLimits) -> Command:
    """Return the command in a message. Raises AmfError, CommandError if its name or transaction id cannot be read.

    Sessions are much alike: each client of one kind sends the same connect and createStream, and all players of a
    stream the same play. So a small command that can be read whole is decoded once and remembered, the oldest one
    forgotten for it. What has a query is not, as that is where secrets travel, nor what names a stream to publish.
    """
    payload = message.payload
    key = message.type_id, message.msid, payload, limits
    command = _known.get(key)
    if command is None:
        command = _decode(message, limits)
        recurs = len(payload) <= _MAX_KNOWN_BYTES and command.name not in _ONCE
        if recurs and command.fault is None and "?" not in repr(command):
            if len(_known) >= _MAX_KNOWN:
                del _known[next(iter(_known))]
            _known[key] = command
    return command


def _decode(message: Message, limits: amf0.AmfLimits) -> Command:
    rest = amf0.Reader(message.payload if message.type_id == COMMAND_AMF0 else amf0_body(message), limits)
    opening: list[Any] = []
    try:
        rest.read(opening, 2)
    except AmfError:
        if not opening or isinstance(opening[0], str):
            raise
    if not opening or not isinstance(opening[0], str):
        raise CommandError("a command without a name", "no_command_name")
    transaction = opening[1] if len(opening) > 1 and isinstance(opening[1], float) else 0.0
    return Command(opening[0], transaction, None, (), message.msid, rest)


def command_message(name: str, transaction: float, *values: Any, msid: int = 0) -> Message:
    """Encode a command message; ``values`` begin with the command object."""
    return Message(COMMAND_AMF0, amf0.encode(name, transaction, *values), 0, msid)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities that two sides announce in connect (Enhanced RTMP v2).

    ``fourcc_list`` is the v1 form; the maps give a bit mask per FourCC (1 decode, 2 encode,
    4 forward); ``caps_ex`` is a bit mask of ``CAPS_*``; None: not sent.
    """

    fourcc_list: tuple[str, ...] | None = None
    video_fourcc: dict[str, int] | None = None
    audio_fourcc: dict[str, int] | None = None
    caps_ex: int | None = None

    @property
    def can_reconnect(self) -> bool:
        """Whether the peer understands a Reconnect Request."""
        return bool((self.caps_ex or 0) & CAPS_RECONNECT)


NO_CAPABILITIES = Capabilities()
_CAPABILITIES = frozenset(("fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"))


_CONNECT_TEXTS = ("app", "tcUrl", "flashVer", "pageUrl")


@dataclass(slots=True)
class ConnectRequest:
    """What a client says in connect; never changed, as sessions share it. ``query`` is what followed a ``?`` in the
    application or in tcUrl."""

    app: str
    query: str = ""
    tc_url: str = ""
    flash_ver: str = ""
    page_url: str = ""
    object_encoding: int = 0
    capabilities: Capabilities = NO_CAPABILITIES


def read_connect(command: Command) -> ConnectRequest:
    """Read connect as real clients send it, once for each command.

    The application comes from ``app``, else from the path of ``tcUrl``; slashes around it are
    dropped, several levels stay. The queries of both go to ``query``, that of ``app`` first: for
    ``rtmp://host/live?token=x`` some clients send the query in both, some in only one of them.
    """
    if command._connect is None:
        command._connect = _read_connect(command.object)
    return command._connect


def _read_connect(properties: Any) -> ConnectRequest:
    if not isinstance(properties, dict):
        properties = {}
    values = map(properties.get, _CONNECT_TEXTS)
    app, tc_url, flash_ver, page_url = [value if isinstance(value, str) else "" for value in values]
    app, _, query = app.partition("?")
    tc_url, _, url_query = tc_url.partition("?")
    if not app.strip("/"):
        app = _path(tc_url)
    encoding = properties.get("objectEncoding")
    return ConnectRequest(
        app=app.strip("/"),
        query="&".join(dict.fromkeys(filter(None, (query, url_query)))),
        tc_url=tc_url,
        flash_ver=flash_ver,
        page_url=page_url.partition("?")[0],
        object_encoding=3 if encoding == 3 else 0,
        capabilities=read_capabilities(properties),
    )


def read_capabilities(properties: dict[str, Any]) -> Capabilities:
    """The capabilities in a connect object, or in the properties of its result; ``NO_CAPABILITIES`` if
    it has none of them."""
    if _CAPABILITIES.isdisjoint(properties):
        return NO_CAPABILITIES
    fourcc_list = properties.get("fourCcList")
    caps_ex = properties.get("capsEx")
    return Capabilities(
        tuple(item for item in fourcc_list if isinstance(item, str)) if isinstance(fourcc_list, list) else None,
        _masks(properties.get("videoFourCcInfoMap")),
        _masks(properties.get("audioFourCcInfoMap")),
        int(caps_ex) & 0xFFFFFFFF if isinstance(caps_ex, float) and 0 <= caps_ex < 2**32 else None,
    )


def _masks(value: Any) -> dict[str, int] | None:
    if not isinstance(value, dict):
        return None
    return {key: int(mask) for key, mask in value.items() if isinstance(mask, float) and 0 <= mask < 2**32}


def _path(url: str) -> str:
    """By hand, as ``urlsplit`` refuses some broken hosts and we want to know nothing of the host."""
    _, mark, rest = url.partition("://")
    return rest.partition("/")[2] if mark else url
