"""Decides when a value becomes an alert and when the alert ends. Pure: values and times are arguments.

::

    value  ..../^^^^^\\......          threshold
                      \\_____          threshold less hysteresis
    above      |<-hold->|
    alert                RAISED ............ CLEARED
    below                     |<-- hold -->|

An alert is reported only when it changes: ``raised`` with each new level, and ``cleared`` with the highest level that
it had, so that a hook with ``min_severity`` that got the beginning also gets the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import AlertSettings, Levels

WARNING = "warning"
CRITICAL = "critical"
RAISED = "raised"
CLEARED = "cleared"

#: The values of the metric ``rtmp_alert_level``.
RANK = {"": 0, WARNING: 1, CRITICAL: 2}


@dataclass(frozen=True, slots=True)
class Timing:
    """The delays of alerts. ``hysteresis`` is a share of the threshold."""

    hold_s: float
    cool_down_s: float
    hysteresis: float

    @classmethod
    def of(cls, settings: AlertSettings) -> Timing:
        """Return the timing from the settings."""
        return cls(settings.hold_s, settings.cool_down_s, settings.hysteresis_percent / 100)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an alert to report: ``threshold`` is the one that was passed."""

    state: str
    severity: str
    value: float
    threshold: float


class Latch:
    """Switches on when a value has been at or above ``threshold`` for ``hold_s``, and off when it has been below the
    threshold by the hysteresis for ``hold_s``. A threshold of 0 is never reached."""

    __slots__ = ("_since", "_timing", "is_on", "threshold")

    def __init__(self, threshold: float, timing: Timing) -> None:
        self.threshold = threshold
        self.is_on = False
        self._timing = timing
        self._since: float | None = None  # since when the value calls for the other state

    def tune(self, threshold: float, timing: Timing) -> None:
        """Change threshold and timing; a latch that is on stays on until the value is below the new threshold."""
        self.threshold = threshold
        self._timing = timing

    def look(self, value: float, now: float) -> None:
        """Update with a value; ``now`` is in monotonic seconds."""
        if self.is_on:
            turns = self.threshold == 0 or value < self.threshold * (1 - self._timing.hysteresis)
        else:
            turns = 0 < self.threshold <= value
        if not turns:
            self._since = None
            return
        if self._since is None:
            self._since = now
        if now - self._since >= self._timing.hold_s:
            self.is_on = not self.is_on
            self._since = None


class Alert:
    """One watched value. ``severity`` is its current level: "", ``warning`` or ``critical``."""

    __slots__ = ("_critical", "_highest", "_quiet_until", "_timing", "_warning", "severity")

    def __init__(self, levels: Levels, timing: Timing) -> None:
        self.severity = ""
        self._highest = ""  # the highest severity since it was raised
        self._timing = timing
        self._warning = Latch(levels.warning, timing)
        self._critical = Latch(levels.critical, timing)
        self._quiet_until = 0.0

    def tune(self, levels: Levels, timing: Timing) -> None:
        """Change the levels and the timing."""
        self._timing = timing
        self._warning.tune(levels.warning, timing)
        self._critical.tune(levels.critical, timing)

    def look(self, value: float, now: float) -> Change | None:
        """Update with a value and return the change to report, or None."""
        self._warning.look(value, now)
        self._critical.look(value, now)
        return self._become(self._level(now), value, now)

    @property
    def is_quiet(self) -> bool:
        """Whether the alert can be forgotten: it is not raised, nor about to be."""
        return not (self.severity or self._warning.is_on or self._critical.is_on)

    def _level(self, now: float) -> str:
        if self._critical.is_on:
            return CRITICAL
        if self._warning.is_on and (self.severity or now >= self._quiet_until):
            return WARNING
        return ""

    def _become(self, level: str, value: float, now: float) -> Change | None:
        before, self.severity = self.severity, level
        if level == before:
            return None
        if level:
            self._highest = max(self._highest, level, key=RANK.__getitem__)
            return Change(RAISED, level, value, self._latch(level).threshold)
        self._quiet_until = now + self._timing.cool_down_s
        highest, self._highest = self._highest, ""
        return Change(CLEARED, highest, value, self._latch(before).threshold)

    def _latch(self, level: str) -> Latch:
        return self._critical if level == CRITICAL else self._warning
