"""rtmpd: an RTMP live-streaming daemon whose product is events you can trust."""

__version__ = "0.1.0"
