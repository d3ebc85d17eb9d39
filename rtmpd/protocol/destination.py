"""URLs of other servers for one stream: a template that is filled with the stream's names, and what of it may be shown.

Many services have a secret in it: in the query, or as the stream's name. Any part that is not the name of the stream
itself is never shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import Final
from urllib.parse import quote

from .url import RtmpUrl, parse_url

_NAME_FIELD: Final = "{name}"
_HIDDEN: Final = "***"


def template_of(text: str) -> RtmpUrl:
    """The template as a URL with its placeholders; one without a stream, ``rtmp://host/app``, gets that of the stream.
    Raises UrlError."""
    scheme, separator, rest = text.partition("://")
    host, _, path = rest.partition("?")[0].strip("/").partition("/")
    if separator and host and path and "/" not in path:
        query = text.partition("?")[2]
        return parse_url(f"{scheme}://{host}/{path}/{_NAME_FIELD}" + (f"?{query}" if query else ""))
    return parse_url(text)


@dataclass(frozen=True, slots=True)
class Destination:
    """The URL of one stream's copy, what is shown of it, and what of it is never shown, longest first."""

    url: RtmpUrl = field(repr=False)
    shown: str
    secrets: tuple[str, ...] = field(repr=False)

    def clean(self, text: str) -> str:
        """``text`` without the secrets; a server may repeat in an error what it was sent."""
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        return text


def destination(text: str, app: str, name: str) -> Destination:
    """What a template means for one stream. Raises UrlError."""
    template = template_of(text)
    names = {"app": app, "name": name}
    quoted = {key: quote(value, safe="") for key, value in names.items()}
    url = replace(
        template,
        app=template.app.format_map(names),
        name=template.name.format_map(names),
        query=template.query.format_map(quoted),
    )
    literals = "".join(literal for literal, *_ in Formatter().parse(template.name))
    if any(letter.isalnum() for letter in literals):
        return Destination(url, str(replace(url, name=_HIDDEN)), _known((url.stream_name, url.query, url.name)))
    return Destination(url, str(url), _known((url.query,)))


def _known(secrets: Iterable[str]) -> tuple[str, ...]:
    return tuple(secret for secret in secrets if secret)
