"""What is made of the table of options."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from rtmpd.config import flags, sample
from rtmpd.config.loader import load
from rtmpd.config.options import Option, SectionSpec, spec
from rtmpd.settings import (
    AccessSettings,
    Address,
    AlertSettings,
    ApiSettings,
    AppSettings,
    AuthSettings,
    BodySettings,
    DaemonSettings,
    DeliverySettings,
    FilterSettings,
    HookSettings,
    HooksSettings,
    HttpSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    RetrySettings,
    ServerSettings,
    Settings,
    StoreSettings,
    TlsSettings,
)
from scripts.papers.configuration import manual

from .conftest import Read

SHIPPED = Path(__file__).resolve().parents[2] / "etc" / "rtmpd.ini"


def every_option() -> list[tuple[str, Option]]:
    sections = [section for first in spec().sections.values() for section in first.family()]
    return [(".".join((*section.path, key)), option) for section in sections for key, option in section.options.items()]


def fields_set_by(section: SectionSpec) -> set[str]:
    return {option.field for option in section.options.values()}


def test_every_field_of_the_settings_has_its_option() -> None:
    sections = spec().sections
    listeners = {field.name for field in (*fields(TlsSettings), *fields(Address))}
    assert listeners == {"cert", "key", "host", "port", "tls"}  # listen, tls_listen, tls_cert and tls_key
    assert {f.name for f in fields(ServerSettings)} - {"tls"} <= fields_set_by(sections["server"])
    assert {f.name for f in fields(LimitSettings)} == fields_set_by(sections["limits"])
    assert {f.name for f in fields(AccessSettings)} - {"file_tokens"} == fields_set_by(sections["access"])
    assert {f.name for f in fields(AppSettings)} == fields_set_by(sections["apps"]) - {"served"}
    assert {f.name for f in fields(LogSettings)} == fields_set_by(sections["log"])
    assert {f.name for f in fields(MetricsSettings)} == fields_set_by(sections["metrics"])
    assert {f.name for f in fields(AlertSettings)} == fields_set_by(sections["alerts"])
    secure = {"tls_listen", "tls_cert", "tls_key"}
    assert {f.name for f in fields(ApiSettings)} - {"tls"} | secure == fields_set_by(sections["http"])
    assert {f.name for f in fields(DaemonSettings)} == fields_set_by(sections["daemon"])
    assert {f.name for f in fields(HooksSettings)} - {"hooks", "store", "audit"} <= fields_set_by(sections["hooks"])
    for_tests = {"staged_events", "staged_bytes", "pages"}
    assert {f.name for f in fields(StoreSettings)} - for_tests == fields_set_by(sections["store"])
    many = sections["hooks"].many
    own_slices = {"filter", "retry", "delivery", "http", "auth", "body", "options"}
    assert many and {f.name for f in fields(HookSettings)} - {"id", "target"} - own_slices <= fields_set_by(many)
    for slice in (FilterSettings, RetrySettings, DeliverySettings, HttpSettings):
        assert {f.name for f in fields(slice)} <= fields_set_by(many)
    assert {f.name for f in fields(AuthSettings)} == fields_set_by(many.inner["auth"])
    assert {f.name for f in fields(BodySettings)} - {"node"} <= fields_set_by(many)
    assert "node" in fields_set_by(sections["hooks"])


@pytest.mark.parametrize(("name", "option"), every_option())
def test_every_option_has_help_a_reload_rule_and_a_default_that_passes(name: str, option: Option) -> None:
    assert option.help and all(line == line.strip() for line in option.help)
    assert option.reload in ("yes", "restart")
    if option.default is None:
        assert name in ("hooks.__many__.type", "hooks.__many__.auth.type")
    else:
        option.check(option.default)


def test_the_printed_defaults_are_the_defaults(read: Read) -> None:
    assert read(sample.sample()).settings == Settings()


def set_defaults(text: str) -> str:
    """The file with the keys of its sections set, its commented subsections left out."""
    without_subsections = re.sub(r"(?ms)^#\[\[.*?(?=^\[|\Z)", "", text)
    return re.sub(r"(?m)^#(?=\w+ =)", "", without_subsections)


def test_the_printed_defaults_can_be_set(read: Read) -> None:
    text = set_defaults(sample.sample())
    assert len(re.findall(r"^\w+ = ", text, re.MULTILINE)) == sum(len(s.options) for s in spec().sections.values())
    assert read(text).settings == Settings()


def test_the_printed_application_can_be_set(read: Read) -> None:
    text = re.sub(r"^#(?=\[\[live|\w+ =)", "", sample.sample().partition("[hooks]")[0], flags=re.MULTILINE)
    assert read(text).settings.apps.named == (("live", AppSettings()),)


def test_the_shipped_file_is_the_sample_with_events_on_standard_output() -> None:
    assert SHIPPED.read_text() == sample.sample(sample.SHIPPED)
    settings = load(flags.parse(["-c", str(SHIPPED)])).settings
    hooks = HooksSettings((HookSettings("stdio", "stdio", "json"),))
    assert settings == Settings(hooks=hooks, server=ServerSettings(watch_config_s=0.0))


def test_what_is_in_effect_tells_where_it_was_set_and_no_secret(read: Read, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    loaded = read(
        "[hooks]\n[[a]]\ntype = webhook\nurl = http://me:hidden@h/p?key=hidden&b=${file:token}\nevent_types = a, b\n",
        "-log-level", "debug",
    )  # fmt: skip
    text = sample.effective(loaded.checked)
    assert "level = debug  # -log-level" in text
    assert f"event_types = a, b  # {tmp_path}/rtmpd.ini:5" in text
    assert "url = http://me:***@h/p?key=***&b=***  #" in text
    assert "hidden" not in text and "s3cret" not in text


def test_what_is_in_effect_can_be_read_back(read: Read) -> None:
    text = '[log]\nfile = "/a,b#c"\n[apps]\nserved = a, b\n[[x y]]\nflush = window\n'
    loaded = read(text)
    assert read(sample.effective(loaded.checked)).settings == loaded.settings


def test_the_manual_has_a_row_for_every_key_of_every_section() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (?:on reload|after a restart) \|", manual(), re.MULTILINE)
    inherits = sum(len(s.many.options) for s in spec().sections.values() if s.many and s.many.inherits)
    assert len(rows) == len(every_option()) - inherits
    assert "| `flush_window` | duration, 1ms to 2s | `50ms` | on reload |" in manual()
    assert "| `attempt_log` | number, 100 to 10000000 | `100000` | after a restart |" in manual()


def test_the_hooks_of_the_command_line_are_in_effect_too(read: Read) -> None:
    words = ["-hook-webhook", "*=http://me:hidden@h/p?key=hidden", "-hook-script", "publish_start=/bin/true"]
    words += ["-hook-auth-api-key", "hidden", "-hook-retry-max-attempts", "4"]
    text = sample.effective(read("", *words).checked)
    assert "[[webhook_0]]\ntype = webhook  # -hook-webhook\nevent_types = *  #" in text
    assert "url = http://me:***@h/p?key=***  # -hook-webhook" in text
    assert "path = /bin/true  # -hook-script" in text
    assert "# max_attempts = 4  # -hook-retry-max-attempts" in text
    assert "# [[[auth]]] of type = api_key: key = ***  # -hook-auth-api-key" in text
    assert "hidden" not in text


def test_the_sample_says_what_takes_a_restart() -> None:
    marked = set(re.findall(rf"(?m)^# {sample.RESTART}\n#(\w+) = ", sample.sample()))
    assert marked == {option.key for _, option in every_option() if option.reload == "restart"}
