"""``rtmp://host:port/app/name?query``: where a stream is, from a client's point of view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ..errors import UrlError

_DEFAULT_PORTS: Final = {"rtmp": 1935, "rtmps": 443}
_FORM: Final = "rtmp://host/app/name"


@dataclass(frozen=True, slots=True)
class RtmpUrl:
    """The parts. ``host`` has lost the brackets of an IPv6 address, ``app`` may have several levels,
    ``query`` (without its ``?``) belongs to the stream name."""

    scheme: str
    host: str
    port: int
    app: str
    name: str
    query: str = ""

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "rtmps"

    @property
    def stream_name(self) -> str:
        """What publish and play ask for: the name, with its query if there is one."""
        return f"{self.name}?{self.query}" if self.query else self.name

    @property
    def tc_url(self) -> str:
        """The URL of the application, which connect repeats."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}/{self.app}"

    def __str__(self) -> str:
        """Without the query, which is where secrets travel."""
        return f"{self.tc_url}/{self.name}"


def parse_url(url: str) -> RtmpUrl:
    """The parts of a stream's URL. The name is the last segment of the path, the application is
    everything before it. Raises UrlError naming what is missing or wrong."""
    try:
        parts = urlsplit(url, allow_fragments=False)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UrlError(f"this URL cannot be read: {error}") from None
    default_port = _DEFAULT_PORTS.get(parts.scheme)
    if default_port is None or "://" not in url:
        raise UrlError(f"the URL has to begin with rtmp:// or rtmps://, as in {_FORM}")
    if not host:
        raise UrlError(f"the URL names no host; {_FORM} is wanted")
    if "@" in parts.netloc:
        raise UrlError(
            "the URL contains a user name, and rtmpd does not log in (authmod=adobe, authmod=llnw); put a token into "
            "the query or the name if the server takes one"
        )
    if port == 0:
        raise UrlError("the port 0 cannot be connected to")
    app, _, name = parts.path.rpartition("/")
    app = app.strip("/")
    if not app and not name:
        raise UrlError(f"the URL names no application and no stream; {_FORM} is wanted")
    if not app:
        raise UrlError(f"the URL names no application or no stream, only {name!r}; {_FORM} is wanted")
    if not name:
        raise UrlError(f"the URL ends in a slash and names no stream; {_FORM} is wanted")
    return RtmpUrl(parts.scheme, host, default_port if port is None else port, app, name, parts.query)
