"""Encodes a server's answers: ``_result``, ``_error``, ``onStatus``. The texts of refusals are not here: see
``rtmpd.errors``.

Source: RTMP 1.0, 7.2.1.1 (connect), 7.2.2 (NetStream). The order of properties is kept as players
know it: level, code, description first. Answers that recur from session to session are encoded
once, and of those with a stream's name all but what differs: a session set-up is mostly AMF.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from . import amf0
from .command import (
    CAPS_MODEX,
    CAPS_MULTITRACK,
    CAPS_NANOSECONDS,
    CAPS_RECONNECT,
    NO_CAPABILITIES,
    Capabilities,
    command_message,
)
from .constants import COMMAND_AMF0, DATA_AMF0
from .message import Message

FMS_VERSION = "FMS/3,0,1,123"

#: Media passes through unchanged, so we can forward every codec; we neither decode nor encode.
_FORWARD = 4.0
_END_OF_OBJECT = amf0.encode({})[1:]
_SERVER_CAPS = float(CAPS_RECONNECT | CAPS_MULTITRACK | CAPS_MODEX | CAPS_NANOSECONDS)
_kept = lru_cache(maxsize=256)  # for answers without a client's text: what is kept is bounded in bytes


def status_object(level: str, code: str, description: str, **more: Any) -> dict[str, Any]:
    """The information object of a status."""
    return {"level": level, "code": code, "description": description, **more}


def connect_result(transaction: float, asked: Capabilities) -> Message:
    """``NetConnection.Connect.Success``, with our capabilities if the client sent its own."""
    if asked is NO_CAPABILITIES:
        return _plain_connect_result(transaction)
    return _connect_result(transaction, asked)


@_kept
def _plain_connect_result(transaction: float) -> Message:
    return _connect_result(transaction, NO_CAPABILITIES)


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


@_kept
def empty_result(transaction: float) -> Message:
    """``_result`` without a value, as undefined."""
    return command_message("_result", transaction, None, amf0.UNDEFINED)


@_kept
def result(transaction: float, *values: Any) -> Message:
    """``_result`` of any other call."""
    return command_message("_result", transaction, None, *values)


def error(transaction: float, code: str, description: str) -> Message:
    """Return the ``_error`` that answers the call ``transaction``."""
    return command_message("_error", transaction, None, status_object("error", code, description))


def on_status(msid: int, level: str, code: str, description: str, **more: Any) -> Message:
    """``onStatus`` on a message stream."""
    call = _up_to_description("onStatus", level, code) + amf0.encode(description)
    for key, value in more.items():
        call += _property_name(key) + amf0.encode(value)
    return Message(COMMAND_AMF0, call + _END_OF_OBJECT, 0, msid)


def on_fc(name: str, code: str, stream: str) -> Message:
    """``onFCPublish``, ``onFCUnpublish`` and ``onFCSubscribe``, which old encoders wait for."""
    call = _up_to_description(name, "status", code) + amf0.encode(stream)
    return Message(COMMAND_AMF0, call + _END_OF_OBJECT)


@lru_cache(maxsize=64)
def _up_to_description(name: str, level: str, code: str) -> bytes:
    """The beginning of a call whose one argument is a status. What differs from stream to stream follows."""
    call = amf0.encode(name, 0.0, None, status_object(level, code, ""))
    return call.removesuffix(amf0.encode("") + _END_OF_OBJECT)


@lru_cache(maxsize=8)
def _property_name(name: str) -> bytes:
    return amf0.encode(name)[1:]  # a string without its marker


@_kept
def sample_access(msid: int) -> Message:
    """``|RtmpSampleAccess``: players may look at raw audio and video."""
    return Message(DATA_AMF0, amf0.encode("|RtmpSampleAccess", True, True), 0, msid)
