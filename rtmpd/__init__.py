"""rtmpd: an RTMP live-streaming daemon whose product is events you can trust."""

from importlib.util import find_spec

__version__ = "0.1.0"


def accelerated() -> bool:
    """Whether the modules that ``RTMPD_ACCEL=1`` compiles at installation are compiled here."""
    found = find_spec("rtmpd.protocol.chunk")
    return found is not None and found.origin is not None and not found.origin.endswith(".py")
