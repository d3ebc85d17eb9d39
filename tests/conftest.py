"""What every test shares."""

from hypothesis import settings

# A deadline per example would fail on a slow machine, not on a slow rtmpd.
settings.register_profile("rtmpd", deadline=None)
settings.load_profile("rtmpd")
