"""rtmpd: an RTMP live-streaming daemon whose product is events you can trust.

Where to look (each package's docstring has more):

- settings: ``config`` (INI file and flags to values), ``settings`` (the values, with defaults)
- clients: ``server`` (connections, publish, play), ``server.access`` (who may), ``protocol`` (RTMP), ``net`` (sockets)
- media: ``stream`` (live streams, GOP cache), ``codec`` (headers), ``quality`` (alerts), ``output`` (recordings,
  relays), ``playback`` (viewers over HTTP), ``cmaf`` (fragmented MP4)
- events: ``event`` (the catalogue), ``hook`` (filters, delivery, retries, storage)
- operation: ``http`` (API), ``ctl`` (rtmpctl), ``metrics``, ``monitor``, ``daemon`` (process, signals)
- modules: ``errors`` (every error; refusals with their status codes, and where their texts are), ``backoff`` (delays of
  retries), ``identity`` (which stream a client means), ``cli`` (front door), ``run`` (the running daemon), ``assembly``
  (connects the rooms), ``reload`` (the order of a reload; each room's ``prepare`` changes its own parts, RTMP listeners
  in ``server.server``)
"""

from importlib.util import find_spec

__version__ = "0.1.0"


def accelerated() -> bool:
    """Whether the modules that ``RTMPD_ACCEL=1`` compiles at installation are compiled here."""
    found = find_spec("rtmpd.protocol.chunk")
    return found is not None and found.origin is not None and not found.origin.endswith(".py")
