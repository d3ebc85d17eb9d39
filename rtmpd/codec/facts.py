"""What a payload can say about its picture or its sound.

Every reader of this room returns ``Facts``. A value that the payload does not say, or that cannot be
meant (a width of 0, a rate of a million pictures per second), is None.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# Beyond this a time base was written where a frame rate belongs.
_MAX_FRAMERATE: Final = 1000.0


class Facts(NamedTuple):
    """``profile`` is in lower case; ``level`` as its standard writes it, ``4.0`` and not ``4``.

    Pictures: ``width`` and ``height`` in pixels of what is shown, cropped but not stretched to the sample
    aspect ratio; ``framerate`` in pictures per second. Sounds: ``sample_rate_hz`` and ``channels`` of
    what a decoder puts out.
    """

    profile: str | None = None
    level: str | None = None
    width: int | None = None
    height: int | None = None
    framerate: float | None = None
    sample_aspect_ratio: tuple[int, int] | None = None
    bit_depth: int | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    bitrate_bps: int | None = None

    @property
    def resolution(self) -> str | None:
        """``1920x1080``; None if the size is not known."""
        return f"{self.width}x{self.height}" if self.width and self.height else None


NOTHING: Final = Facts()


def merged(older: Facts, newer: Facts) -> Facts:
    """``newer``, and from ``older`` what it does not say."""
    return Facts._make(old if new is None else new for old, new in zip(older, newer, strict=True))


def framerate(time_scale: int, units_per_frame: int) -> float | None:
    """Pictures per second from a time base, rounded to thousandths; None if it cannot be meant."""
    if not time_scale or not units_per_frame:
        return None
    rate = round(time_scale / units_per_frame, 3)
    return rate if 0 < rate <= _MAX_FRAMERATE else None
