"""What sick endpoints cost the others. The figures are made by ``scripts/reliability``; here causes are counted: the
sick would take an hour, so whatever is done meanwhile has not waited for them."""

from __future__ import annotations

import gevent
import pytest

from rtmpd.clock import Clock
from rtmpd.hook.manager import HookManager
from rtmpd.hook.question import Questioner
from rtmpd.settings import AccessSettings, HookSettings, HooksSettings
from tests.support.receiver import hangs, receiving, status
from tests.support.waiting import until

from . import isolation

HOUR_S = 3600.0
EVENTS = 60
SICK = 12


def webhook(id: str, url: str, **settings) -> HookSettings:
    return HookSettings(id, "webhook", url, ("publish_start",), **{"timeout_s": HOUR_S, "concurrency": 40} | settings)


def drips(sock, request):
    while True:
        sock.sendall(b"H")
        gevent.sleep(0.05)


@pytest.mark.parametrize("sickness", ["mute name server", "hanging", "dripping"])
def test_sick_endpoints_cost_neither_the_other_hooks_nor_the_callbacks_anything(sickness):
    answer = drips if sickness == "dripping" else hangs
    with receiving(status("200 OK")) as well, receiving(answer) as ill, isolation.name_server() as asked:
        urls = {
            number: f"http://mute-{number}.test/" if sickness == "mute name server" else ill.url
            for number in range(SICK)
        }
        sick = [webhook(f"sick-{number}", url) for number, url in urls.items()]
        good = webhook("good", well.url.replace("127.0.0.1", "good.test"), concurrency=2)
        manager = HookManager(HooksSettings((*sick, good), concurrency=40), Clock())
        questioner = Questioner(AccessSettings(), Clock())
        try:
            for number in range(EVENTS):
                manager.emit("publish_start", stream_key=f"live/{number}")
                gevent.sleep(0)
            ask = questioner.ask_for(well.url.replace("127.0.0.1", "may.test"))
            answers = [ask(b"{}", 20.0)[0] for _ in range(EVENTS)]
            until(lambda: manager.stats()["hooks"]["good"]["executed"] == EVENTS)
            assert answers == [200] * EVENTS
            hooks = manager.stats()["hooks"]
            assert all(hooks[f"sick-{n}"]["executed"] == hooks[f"sick-{n}"]["failed"] == 0 for n in range(SICK))
            assert len(well.requests) == 2 * EVENTS
            if sickness == "mute name server":
                names = sorted(name for name in asked if name.startswith("mute"))
                assert names == sorted(f"mute-{number}.test" for number in range(SICK)), "each is asked for once"
        finally:
            questioner.close()
            manager.close(0)


def test_what_the_figures_are_made_of(tmp_path):
    found = isolation.measure(tmp_path, rounds=1, seconds=1.5, lanes=20, rate=5, dead=2, drip=2, mute=2)
    assert found.undelivered == 0
    assert all(len(figures) == 1 for figures in (found.alone_ms, found.among_ms, found.asked_among_ms))
