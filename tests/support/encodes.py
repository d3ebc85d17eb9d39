"""Real encodes, made when a test asks for them, as the messages a publisher would send; and what FFmpeg
says of them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import av

from rtmpd.codec.tag import AUDIO_MESSAGE, VIDEO_MESSAGE
from rtmpd.protocol import flv
from rtmpd.protocol.message import Message
from rtmpd.protocol.source import Buffer, MemorySource

FRAMES = 3
QUIET: dict[str, dict[str, str]] = {
    "libx264": {"threads": "1", "preset": "ultrafast"},
    "libx265": {"x265-params": "log-level=none:pools=1:frame-threads=1", "preset": "ultrafast"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


@dataclass(frozen=True)
class Video:
    """What to encode; ``options`` are pairs of an encoder's option and its value."""

    encoder: str
    width: int = 64
    height: int = 64
    rate: Fraction = Fraction(25)
    pix_fmt: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()
    frames: int = FRAMES

    @property
    def resolution(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Audio:
    """What to encode."""

    encoder: str
    rate_hz: int = 44100
    layout: str = "stereo"
    bitrate_bps: int = 64000


def _encoder(context: Any, video: Video) -> None:
    context.width, context.height, context.pix_fmt = video.width, video.height, video.pix_fmt
    options = dict(QUIET.get(video.encoder, {}))
    for name, value in video.options:
        options[name] = f"{options[name]}:{value}" if name.endswith("-params") and name in options else value
    context.options = options
    context.time_base = 1 / video.rate
    context.framerate = video.rate


def _pictures(video: Video) -> list[av.VideoFrame]:
    frames = []
    for index in range(video.frames):
        frame = av.VideoFrame(video.width, video.height, video.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes([40 * index % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = index, 1 / video.rate
        frames.append(frame)
    return frames


def packets_of(video: Video) -> list[tuple[bool, bytes]]:
    """Keyframe or not, and the bytes, of each packet of a bare encoder."""
    context = av.CodecContext.create(video.encoder, "w")
    _encoder(context, video)
    packets = [packet for frame in [*_pictures(video), None] for packet in context.encode(frame)]
    return [(packet.is_keyframe, bytes(packet)) for packet in packets]


@cache
def flv_file(*wanted: Video | Audio) -> bytes:
    """An FLV file of these tracks."""
    file = io.BytesIO()
    with av.open(file, "w", format="flv") as output:
        streams = [
            (output.add_stream(one.encoder, one.rate if isinstance(one, Video) else one.rate_hz), one) for one in wanted
        ]
        for stream, one in streams:
            if isinstance(one, Video):
                _encoder(stream.codec_context, one)
            else:
                stream.codec_context.layout, stream.codec_context.bit_rate = one.layout, one.bitrate_bps
        for stream, one in streams:
            for frame in _pictures(one) if isinstance(one, Video) else _silence(one):
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return file.getvalue()


def _silence(audio: Audio) -> list[av.AudioFrame]:
    samples = audio.rate_hz // 10
    frames = []
    for index in range(2):
        frame = av.AudioFrame("s16", audio.layout, samples)
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        frame.rate, frame.pts, frame.time_base = audio.rate_hz, index * samples, Fraction(1, audio.rate_hz)
        frames.append(frame)
    return frames


def messages_of(file: bytes) -> list[Message]:
    """Every message of an FLV file."""
    reader = flv.FlvReader(Buffer(MemorySource([file])))
    reader.read_header()
    return list(iter(reader.read_tag, None))


def payloads(wanted: Video | Audio) -> list[bytes]:
    """The payloads of the messages of one track."""
    type_id = VIDEO_MESSAGE if isinstance(wanted, Video) else AUDIO_MESSAGE
    return [message.payload for message in messages_of(flv_file(wanted)) if message.type_id == type_id]


def probed(wanted: Video | Audio) -> Any:
    """What FFmpeg's demuxer and decoder find in the file: a codec context that has decoded a frame."""
    with av.open(io.BytesIO(flv_file(wanted)), format="flv") as container:
        stream = container.streams[0]
        for packet in container.demux(stream):
            if packet.size and packet.decode():
                break
        return stream
