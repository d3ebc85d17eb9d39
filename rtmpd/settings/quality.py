"""The thresholds of the quality monitor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """What is asked of every publish. Drops and rises are percent, ``min_bitrate`` is bit/s, ``min_framerate``
    frames/s; 0 asks nothing. All times are times of the media."""

    enabled: bool = True
    window_s: float = 10.0
    warm_up_s: float = 10.0
    cool_down_s: float = 30.0
    bitrate_drop: int = 20
    bitrate_rise: int = 20
    framerate_drop: int = 10
    max_keyframe_interval_s: float = 20.0
    min_bitrate: int = 0
    min_framerate: int = 0
    frozen_after_s: float = 10.0
    missing_after_s: float = 10.0
    max_timestamp_jump_s: float = 3.0
    max_av_drift_s: float = 2.0
    forbid_b_frames: bool = False
