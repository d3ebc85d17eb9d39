"""Sends media on a session that publishes: in real time, or as fast as it is taken."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from dataclasses import dataclass

from .client import Client
from .loop import Loop
from .media import PHASES, MediaBytes, stream_headers
from .wire import AUDIO, VIDEO

FLAT_OUT_BATCH = 16
"""Messages handed to the kernel in one call when sending flat out."""

FLAT_OUT_BATCHES = 8
"""Calls in a row before the generator looks at its players again."""

GIVE_UP_S = 10.0
"""How much longer than asked it may take until that counts as stuck."""

MAX_PENDING = PHASES - FLAT_OUT_BATCH
"""Messages that may wait for room in the socket; their bytes are used again PHASES messages later."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A usual live stream: H.264 at 2.5 Mbit/s and 30 frames/s with a key frame every 2 s that is
    five times as large, AAC at 128 kbit/s; 73 messages/s and 0.33 MB/s together."""

    video_bps: int = 2_500_000
    frames_per_s: float = 30.0
    gop_frames: int = 60
    key_frame_factor: int = 5
    audio_bps: int = 128_000
    audio_per_s: float = 44100 / 1024

    @property
    def frame_bytes(self) -> int:
        """Size of a frame that is not a key frame."""
        gop_bytes = self.video_bps / 8 * self.gop_frames / self.frames_per_s
        return int(gop_bytes / (self.gop_frames - 1 + self.key_frame_factor))

    @property
    def key_frame_bytes(self) -> int:
        return self.frame_bytes * self.key_frame_factor

    @property
    def audio_bytes(self) -> int:
        return int(self.audio_bps / 8 / self.audio_per_s)


class Publisher:
    """Sends the sequence headers at once and media between ``start`` and ``stop``.

    ``sequence`` is the number of the next message, so the number of messages sent so far; ``late_s``
    is how far the generator itself was behind at worst since ``start``.
    """

    def __init__(self, loop: Loop, client: Client, profile: Profile) -> None:
        self.client = client
        self.sequence = 0
        self.sent_bytes = 0
        self.late_s = 0.0
        self._loop = loop
        self._profile = profile
        self._media = MediaBytes(client.msid)
        self._origin = time.monotonic()
        self._round = 0
        self._flat_round = -1
        self._is_mixed = False
        self._timestamp = 0
        self._writable_watched = False
        self._pending: list[memoryview] = []
        self._allowed: Callable[[], int] = lambda: FLAT_OUT_BATCH
        client.send(stream_headers(client.msid))

    # --- in real time -----------------------------------------------------------------------------

    def start(self) -> None:
        """Send in real time, a key frame first."""
        self._round += 1
        self.late_s = 0.0
        self._base = time.monotonic()
        self._frames = self._audios = 0
        self._tick(self._round)

    def stop(self) -> None:
        """Fall silent."""
        self._round += 1

    def _tick(self, this_round: int) -> None:
        """Send what is due, and come back for the next message."""
        while this_round == self._round:
            video_at = self._base + self._frames / self._profile.frames_per_s
            audio_at = self._base + self._audios / self._profile.audio_per_s
            due = min(video_at, audio_at)
            late_s = time.monotonic() - due
            if late_s < 0:
                self._loop.call_at(due, lambda: self._tick(this_round))
                return
            self.late_s = max(self.late_s, late_s)
            if video_at <= audio_at:
                self._send_frame(due)
            else:
                self._audios += 1
                self._send(AUDIO, due, self._profile.audio_bytes, False)

    def _send_frame(self, due: float) -> None:
        key_frame = self._frames % self._profile.gop_frames == 0
        self._frames += 1
        size = self._profile.key_frame_bytes if key_frame else self._profile.frame_bytes
        self._send(VIDEO, due, size, key_frame)

    def _send(self, type_id: int, due: float, size: int, key_frame: bool) -> None:
        self._timestamp = int((due - self._origin) * 1000)
        wire = self._media.message(type_id, self.sequence, self._timestamp, time.monotonic_ns(), size, key_frame)
        self.sequence += 1
        self._write([memoryview(wire)])

    # --- flat out ---------------------------------------------------------------------------------

    def start_flat_out(self, message_bytes: int, allowed: Callable[[], int] | None = None) -> None:
        """Send video of one size as fast as the server takes it, but never more than ``allowed()``
        messages at a time; call ``pump`` whenever that may have grown."""
        self._flat_bytes = message_bytes
        self._is_mixed = False
        if allowed is not None:
            self._allowed = allowed
        self._round += 1
        self._flat_round = self._round
        self.pump()

    def start_mixed_flat_out(self) -> None:
        """Send the usual live stream, its timestamps included, as fast as the server takes it."""
        self.start_flat_out(0, lambda: 0)
        self._is_mixed = True
        self._frames = self._audios = 0
        self._allowed = lambda: FLAT_OUT_BATCH
        self.pump()

    @property
    def media_s(self) -> float:
        """How much media was sent, by its timestamps."""
        return self._timestamp / 1000

    def pump(self) -> None:
        """Send what is allowed until the socket is full or the generator has other things to do."""
        for _ in range(FLAT_OUT_BATCHES):
            if self._pending or self._flat_round != self._round or self.client.failure:
                return
            count = min(FLAT_OUT_BATCH, self._allowed())
            if count <= 0:
                self._watch_writable(False)
                return
            self._write([memoryview(self._flat_message()) for _ in range(count)])
        if not self._pending:
            self._watch_writable(True)

    def pump_for(self, seconds: float) -> None:
        """Send flat out for a time."""
        deadline = time.monotonic() + seconds

        def over() -> bool:
            self.pump()
            return time.monotonic() >= deadline or bool(self.client.failure)

        self._loop.run(over, seconds + GIVE_UP_S)

    def _mixed_message(self) -> bytearray:
        profile = self._profile
        video_s, audio_s = self._frames / profile.frames_per_s, self._audios / profile.audio_per_s
        is_video = video_s <= audio_s
        key_frame = is_video and self._frames % profile.gop_frames == 0
        self._frames += is_video
        self._audios += not is_video
        self._timestamp = int(min(video_s, audio_s) * 1000)
        size = profile.audio_bytes
        if is_video:
            size = profile.key_frame_bytes if key_frame else profile.frame_bytes
        kind, now_ns = VIDEO if is_video else AUDIO, time.monotonic_ns()
        self.sequence += 1
        return self._media.message(kind, self.sequence - 1, self._timestamp, now_ns, size, key_frame)

    def _flat_message(self) -> bytearray:
        if self._is_mixed:
            return self._mixed_message()
        key_frame = self.sequence % self._profile.gop_frames == 0
        self._timestamp += 1
        now_ns = time.monotonic_ns()
        wire = self._media.message(VIDEO, self.sequence, self._timestamp, now_ns, self._flat_bytes, key_frame)
        self.sequence += 1
        return wire

    def _ready(self, mask: int) -> None:
        if mask & ~select.EPOLLOUT:
            self.client.read_ready()
        if self.client.failure or not mask & select.EPOLLOUT:
            return
        if self._pending:
            self._write([])
        if not self._pending:
            self._watch_writable(False)
            self.pump()

    # --- both -------------------------------------------------------------------------------------

    def _write(self, pieces: list[memoryview]) -> None:
        """Hand messages to the kernel; what it does not take stays pending, in order."""
        self._pending += pieces
        if self.client.failure:
            self._pending.clear()
            return
        try:
            sent = self.client.sock.sendmsg(self._pending)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.client.fail(f"send: {error.strerror}")
            return
        self.sent_bytes += sent
        while self._pending and sent >= len(self._pending[0]):
            sent -= len(self._pending.pop(0))
        if len(self._pending) > MAX_PENDING:
            self.client.fail("the server does not take the stream in time")
        elif self._pending:
            self._pending[0] = self._pending[0][sent:]
            self._watch_writable(True)

    def _watch_writable(self, wanted: bool) -> None:
        if wanted != self._writable_watched and not self.client.failure:
            self._writable_watched = wanted
            mask = select.EPOLLIN | (select.EPOLLOUT if wanted else 0)
            self._loop.change(self.client.sock.fileno(), mask, self._ready)

    def send_key_frame(self) -> None:
        """One key frame, at once."""
        self._send(VIDEO, time.monotonic(), self._profile.key_frame_bytes, True)
