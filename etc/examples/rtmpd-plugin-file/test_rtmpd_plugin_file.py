import pytest
from rtmpd_plugin_file import FileHook

from rtmpd.errors import TransientDeliveryError
from rtmpd.event.event import Event


def test_each_event_is_one_line(tmp_path):
    hook = FileHook("archive", {"path": str(tmp_path / "events")})
    hook.execute(Event("publish_start", 1, id="evt_1"), 0.0)
    hook.execute(Event("publish_stop", 2, id="evt_2"), 0.0)
    hook.close()
    assert len((tmp_path / "events").read_bytes().splitlines()) == 2


def test_a_folder_that_is_not_there_may_be_there_later():
    with pytest.raises(TransientDeliveryError):
        FileHook("archive", {"path": "/no/such/folder/events"}).execute(Event("publish_start", 1), 0.0)


def test_an_option_that_is_not_known_is_refused():
    with pytest.raises(ValueError):
        FileHook("archive", {"pfad": "/tmp/events"})
