"""The pages that are rendered from tables in the code."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from rtmpd.event.catalogue import EVENT_TYPES

ROOT = Path(__file__).parents[1]


def gen_docs():
    """The script as a module; it has no suffix, so it can not be imported by name."""
    spec = spec_from_loader("gen_docs", SourceFileLoader("gen_docs", str(ROOT / "scripts" / "gen_docs")))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_events_page_is_what_the_catalogue_says():
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert page == gen_docs().events_page(), "run scripts/gen_docs"


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
    made = ["docs/metrics.md", *(path for path in pages if path.startswith(("etc/graphite", "etc/grafana", "etc/prom")))]
    assert len(made) == 7
    for path in made:
        assert gen_docs().is_current(path, pages[path]), f"{path}: run scripts/gen_docs"
