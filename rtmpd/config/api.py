"""Checks of several options of [http] and [playback] together."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from .. import textfile
from ..settings import Address, PlaybackSettings, TlsSettings
from ..settings.http import ApiSettings
from ..textfile import TextFileError
from .check import Checked
from .process import check_tls


def of_section(checked: Checked) -> ApiSettings:
    """The settings of [http]; problems and warnings go to ``checked``. Looks at the token file."""
    secure = tuple(replace(address, tls=True) for address in checked.value("http", "tls_listen"))
    tls = TlsSettings(cert=checked.value("http", "tls_cert"), key=checked.value("http", "tls_key"))
    check_tls(checked, "http", secure, tls)
    plain: tuple[Address, ...] = checked.value("http", "listen")
    others = checked.fields("http", "listen", "tls_listen", "tls_cert", "tls_key")
    settings = ApiSettings(listen=(*plain, *secure), tls=tls, **others)
    open_to_others = [address for address in settings.listen if not _is_loopback(address.host)]
    if open_to_others and not settings.token_file:
        text = f"{open_to_others[0]} can be reached from other machines, and without a token they get health alone"
        key = "tls_listen" if open_to_others[0].tls else "listen"
        checked.warning(("http", key), text, "name a token_file, or listen on 127.0.0.1")
    if settings.token_file:
        _check_token_file(checked, settings.token_file)
    return settings


def playback_of(checked: Checked) -> PlaybackSettings:
    """The settings of [playback]; problems go to ``checked``."""
    secure = tuple(replace(address, tls=True) for address in checked.value("playback", "tls_listen"))
    tls = TlsSettings(cert=checked.value("playback", "tls_cert"), key=checked.value("playback", "tls_key"))
    check_tls(checked, "playback", secure, tls)
    plain: tuple[Address, ...] = checked.value("playback", "listen")
    others = checked.fields("playback", "listen", "tls_listen", "tls_cert", "tls_key")
    return PlaybackSettings(listen=(*plain, *secure), tls=tls, **others)


def _check_token_file(checked: Checked, path: str) -> None:
    try:
        file = textfile.read(path)
    except TextFileError as error:
        checked.problem(("http", "token_file"), f"{path}: {error}", "name a file that rtmpd may read")
        return
    if file.is_exposed:
        checked.warning(("http", "token_file"), f"{path} can be read by everybody", "chmod 0640 it")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
