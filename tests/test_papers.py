"""The pages that are rendered from tables in the code."""

import re
import shutil
import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

from rtmpd import exits
from rtmpd.ctl.parser import COMMANDS
from rtmpd.event.catalogue import EVENT_TYPES
from scripts.papers import configuration, roff, rtmpctl
from tests.support import proof

ROOT = Path(__file__).parents[1]


def gen_docs():
    """The script as a module; it has no suffix, so it cannot be imported by name."""
    spec = spec_from_loader("gen_docs", SourceFileLoader("gen_docs", str(ROOT / "scripts" / "gen_docs")))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_events_page_is_what_the_catalogue_says():
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert page == gen_docs().events_page(), "run scripts/gen_docs"


def test_the_schema_and_the_asyncapi_document_are_what_the_catalogue_says():
    for path in ("docs/events.schema.json", "docs/asyncapi.json"):
        assert gen_docs().is_current(path, gen_docs().PAGES[path]), f"{path}: run scripts/gen_docs"


def test_the_events_page_tells_what_makes_every_type_happen():
    assert list(EVENT_TYPES) == sorted(gen_docs().fired_by(), key=list(EVENT_TYPES).index)


def test_the_configuration_page_and_the_shipped_file_are_what_the_table_of_options_says():
    for path in ("docs/configuration.md", "etc/rtmpd.ini"):
        assert gen_docs().is_current(path, gen_docs().PAGES[path]), "run scripts/gen_docs"


def test_the_events_page_tells_every_type_and_field():
    page = gen_docs().events_page()
    for name, event_type in EVENT_TYPES.items():
        section = page.partition(f"\n### {name}\n")[2].partition("\n#")[0]
        assert all(f"| `{field.name}` | {field.type} |" in section for field in event_type.fields), name


def test_the_metrics_page_the_dashboards_and_the_rules_are_what_the_catalogue_says():
    pages = gen_docs().PAGES
    folders = ("etc/graphite", "etc/grafana", "etc/prom")
    made = ["docs/metrics.md", *(path for path in pages if path.startswith(folders))]
    assert len(made) == 7
    for path in made:
        assert gen_docs().is_current(path, pages[path]), f"{path}: run scripts/gen_docs"


def test_the_completions_are_what_the_flags_and_commands_say():
    pages = gen_docs().PAGES
    made = [path for path in pages if path.startswith("etc/completion/")]
    assert len(made) == 4
    for path in made:
        assert gen_docs().is_current(path, pages[path]), f"{path}: run scripts/gen_docs"


def test_the_manual_pages_are_what_the_tables_say():
    pages = gen_docs().PAGES
    made = [path for path in pages if path.startswith("etc/man/")]
    assert made == ["etc/man/rtmpctl.8", "etc/man/rtmpd.8", "etc/man/rtmpd.ini.5"]
    for path in made:
        assert gen_docs().is_current(path, pages[path]), f"{path}: run scripts/gen_docs"


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
@pytest.mark.parametrize("name", ["rtmpctl.8", "rtmpd.8", "rtmpd.ini.5"])
def test_a_manual_page_has_nothing_for_mandoc_to_complain_about(name):
    command = ["mandoc", "-T", "lint", str(ROOT / "etc" / "man" / name)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.splitlines()
    own = re.compile(r"STYLE: referenced manual not found: Xr (rtmpd|rtmpctl|rtmpd\.ini) [58]$")
    assert [line for line in said if not own.search(line)] == []


def test_text_that_looks_like_an_order_of_roff_stays_text():
    assert list(roff.prose(".Sh \\ x")) == ["\\&.Sh \\e x"]
    assert roff.word("No") == "\\&No" and roff.word("a b") == '"a b"'


def test_the_manual_pages_tell_every_flag_option_signal_status_and_command():
    daemon, file, control = (roff.daemon_page(), roff.file_page(), rtmpctl.page())
    assert [name for name, flag in proof.flags() if f"Fl -{flag.name}" not in daemon] == []
    assert [status for status in exits.DAEMON if f".It {status}\n" not in daemon] == []
    assert [status for status in exits.CONTROL if f".It {status}\n" not in control] == []
    for page, table in (("docs/install.md", exits.DAEMON), ("docs/control.md", exits.CONTROL)):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert [status for status, meaning in table.items() if f"| {status} | {meaning} |" not in text] == [], page
    assert [names for names in configuration.SIGNALS if names.partition(",")[0] not in daemon] == []
    assert [name for name, option in proof.options() if f"Ic {option.shown_key}" not in file] == []
    assert [words for words in COMMANDS if f"Cm {' '.join(words)}" not in control] == []


def test_every_option_and_flag_has_a_test_that_proves_it():
    known, asked = proof.proofs(), {**dict(proof.options()), **dict(proof.flags())}
    assert sorted(set(asked) - set(known)) == [], 'mark the tests that prove them with @proves("...")'
    assert sorted(set(known) - set(asked)) == [], "there are no such options"


def anchors(page):
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_pages_name_only_pages_and_headings_that_exist():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
            target = page.parent / link if link else page
            assert target.exists(), f"{page.name} names {link}"
            assert not anchor or target.suffix != ".md" or anchor in anchors(target), f"{page.name}: {link}#{anchor}"
