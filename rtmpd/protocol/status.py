"""What a server answers: ``_result``, ``_error``, ``onStatus``.

Source: RTMP 1.0, 7.2.1.1 (connect), 7.2.2 (NetStream). The order of properties is kept as players
know it: level, code, description first. Answers that recur from session to session are encoded
once: a session set-up is mostly AMF.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec

from . import amf0
from .command import CAPS_MODEX, CAPS_MULTITRACK, CAPS_NANOSECONDS, CAPS_RECONNECT, Capabilities, command_message
from .constants import DATA_AMF0
from .message import Message

_P = ParamSpec("_P")

FMS_VERSION = "FMS/3,0,1,123"

#: Media passes through unchanged, so we can forward every codec; we neither decode nor encode.
_FORWARD = 4.0
_LONGEST_KEPT = 128  # characters of a stream name: what is kept is bounded in bytes, whatever clients send
_NO_CAPABILITIES = Capabilities()
_SERVER_CAPS = float(CAPS_RECONNECT | CAPS_MULTITRACK | CAPS_MODEX | CAPS_NANOSECONDS)


def _remembered(make: Callable[_P, Message]) -> Callable[_P, Message]:
    """Keep the last few hundred answers, unless a client's text makes them long."""
    kept = lru_cache(maxsize=256)(make)

    @wraps(make)
    def answer(*args: _P.args, **kwargs: _P.kwargs) -> Message:
        for value in (*args, *kwargs.values()):
            if isinstance(value, str) and len(value) > _LONGEST_KEPT:
                return make(*args, **kwargs)
        return kept(*args, **kwargs)  # type: ignore[arg-type]  # a ParamSpec can not say "hashable"

    return answer


def status_object(level: str, code: str, description: str, **more: Any) -> dict[str, Any]:
    """The information object of a status."""
    return {"level": level, "code": code, "description": description, **more}


def connect_result(transaction: float, asked: Capabilities) -> Message:
    """``NetConnection.Connect.Success``, with our capabilities if the client told its own."""
    if asked == _NO_CAPABILITIES:
        return _plain_connect_result(transaction)
    return _connect_result(transaction, asked)


@_remembered
def _plain_connect_result(transaction: float) -> Message:
    return _connect_result(transaction, _NO_CAPABILITIES)


def _connect_result(transaction: float, asked: Capabilities) -> Message:
    properties: dict[str, Any] = {"fmsVer": FMS_VERSION, "capabilities": 31.0, "mode": 1.0}
    information = status_object("status", "NetConnection.Connect.Success", "Connection succeeded.", objectEncoding=0.0)
    information["data"] = amf0.EcmaArray({"version": "3,0,1,123"})
    if asked.fourcc_list is not None:
        properties["fourCcList"] = list(asked.fourcc_list)
        information["fourCcList"] = list(asked.fourcc_list)  # where Enhanced RTMP v1 clients look
    if asked.video_fourcc is not None:
        properties["videoFourCcInfoMap"] = {"*": _FORWARD}
    if asked.audio_fourcc is not None:
        properties["audioFourCcInfoMap"] = {"*": _FORWARD}
    if asked.caps_ex is not None:
        properties["capsEx"] = _SERVER_CAPS
    return command_message("_result", transaction, properties, information)


@_remembered
def result(transaction: float, *values: Any) -> Message:
    """``_result`` of any other call."""
    return command_message("_result", transaction, None, *values)


def error(transaction: float, code: str, description: str) -> Message:
    """``_error`` of a call."""
    return command_message("_error", transaction, None, status_object("error", code, description))


@_remembered
def on_status(msid: int, level: str, code: str, description: str, **more: Any) -> Message:
    """``onStatus`` on a message stream."""
    return command_message("onStatus", 0.0, None, status_object(level, code, description, **more), msid=msid)


@_remembered
def on_fc(name: str, code: str, stream: str) -> Message:
    """``onFCPublish``, ``onFCUnpublish`` and ``onFCSubscribe``, which old encoders wait for."""
    return command_message(name, 0.0, None, status_object("status", code, stream))


@_remembered
def sample_access(msid: int) -> Message:
    """``|RtmpSampleAccess``: players may look at raw audio and video."""
    return Message(DATA_AMF0, amf0.encode("|RtmpSampleAccess", True, True), 0, msid)


@_remembered
def data_start(msid: int) -> Message:
    """``onStatus`` data message ``NetStream.Data.Start``, sent before the first media."""
    return Message(DATA_AMF0, amf0.encode("onStatus", {"code": "NetStream.Data.Start"}), 0, msid)
