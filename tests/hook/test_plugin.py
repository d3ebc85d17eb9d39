"""Plugins: found, made, checked and called, and what they cannot do to others."""

import os
import subprocess
import sys
import time
from pathlib import Path

import gevent
import pytest

from rtmpd.clock import Clock
from rtmpd.config import flags
from rtmpd.config.loader import load
from rtmpd.errors import ConfigError, PermanentDeliveryError, PluginError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.build import build_hook
from rtmpd.hook.sink import plugin as plugins
from rtmpd.hook.sink.plugin import PluginHook
from rtmpd.settings import HookSettings
from tests.support.proof import proves
from tests.support.waiting import until

EXAMPLE = Path(__file__).resolve().parents[2] / "etc" / "examples" / "rtmpd-plugin-file"
EVENT = Event("publish_start", 1634567890, "c000001", "live/a", {"app": "live"}, "evt_01", 1)

MODULE = """
import os, time
from rtmpd.errors import PermanentDeliveryError, TransientDeliveryError
class Plain:
    def __init__(self, id, options): self.seen, self.closed, self.given = [], 0, (id, options)
    def execute(self, event, deadline): self.seen.append(event.id)
    def close(self): self.closed += 1
class Picky(Plain):
    def __init__(self, id, options): raise ValueError("needs a path")
class Shapeless:
    def __init__(self, id, options): pass
    def execute(self, event, deadline): pass
class Blocking(Plain):
    blocking = True
number = 7
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """``installed(**entry_points)``: a package with MODULE and these entry points, where Python finds it."""

    def run(**points):
        (tmp_path / "pkg-1.0.dist-info").mkdir()
        (tmp_path / "pkg-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\n")
        rows = "\n".join(f"{name} = {value}" for name, value in points.items())
        (tmp_path / "pkg-1.0.dist-info" / "entry_points.txt").write_text(f"[rtmpd.hooks]\n{rows}\n")
        (tmp_path / "a_plugin.py").write_text(MODULE)
        (tmp_path / "a_broken_plugin.py").write_text("import no_such_module_here\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "a_plugin", raising=False)

    return run


class Calls:
    """A plugin that does what the test says."""

    def __init__(self, execute=lambda event, deadline: None):
        self.execute = execute
        self.closed = 0

    def close(self):
        self.closed += 1


def run(plugin, threads=0, seconds=20.0, event=EVENT):
    hook = PluginHook("p", plugin, threads, Clock())
    hook.execute(event, time.monotonic() + seconds)


# --- finding and making ---------------------------------------------------------------------------


def test_a_plugin_is_made_with_the_id_and_a_dict_of_options(installed):
    installed(plain="a_plugin:Plain")
    plugin = plugins.make("plain", "ops", {"path": "/x", "types": ("a", "b")})
    assert plugin.given == ("ops", {"path": "/x", "types": ("a", "b")})


@pytest.mark.parametrize(
    ("value", "key", "message"),
    [
        ("a_plugin:Nobody", "name", "cannot be loaded: AttributeError"),
        ("a_broken_plugin:X", "name", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("a_plugin:number", "name", "is not a class or function"),
        ("a_plugin:Shapeless", "name", "without close"),
        ("a_plugin:Picky", "options", "ValueError: needs a path"),
    ],
)
def test_a_plugin_that_can_not_be_used_is_named_with_what_to_do(installed, value, key, message):
    installed(bad=value)
    with pytest.raises(PluginError, match=message) as raised:
        plugins.make("bad", "ops", {})
    assert raised.value.key == key and raised.value.hint
    with pytest.raises(ConfigError, match=message) as refused:
        build_hook(HookSettings("ops", "plugin", "bad"), Clock())
    assert refused.value.problems[0].key == f"hooks.ops.{key}"


def test_an_unknown_plugin_is_told_with_those_that_there_are(installed):
    installed(plain="a_plugin:Plain")
    with pytest.raises(PluginError, match="no installed package has the plugin plian") as raised:
        plugins.make("plian", "ops", {})
    assert "plain" in raised.value.hint


def test_a_plugin_that_was_only_checked_is_let_go(installed):
    installed(plain="a_plugin:Plain")
    made = []
    import a_plugin

    a_plugin.Plain.__init__ = lambda self, id, options: (made.append(self), setattr(self, "closed", 0))[1]
    plugins.check_plugin("plain", "ops", {})
    assert [plugin.closed for plugin in made] == [1]


@pytest.mark.parametrize(("name", "wish", "threads"), [
    ("plain", "auto", 0), ("plain", "yes", 3), ("plain", "no", 0),
    ("blocking", "auto", 3), ("blocking", "yes", 3), ("blocking", "no", 0),
])  # fmt: skip
def test_threads_are_for_those_that_block_unless_told_otherwise(installed, name, wish, threads):
    installed(plain="a_plugin:Plain", blocking="a_plugin:Blocking")
    hook = build_hook(HookSettings("ops", "plugin", name, concurrency=3, run_in_thread=wish), Clock())
    assert (0 if hook._pool is None else hook._pool.maxsize) == threads
    hook.close()


# --- calling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2])
def test_what_a_plugin_raises_is_raised(threads, capfd):
    for error in (TransientDeliveryError("later", "x", 3.0), PermanentDeliveryError("never"), KeyError("a bug")):
        def fail(event, deadline, error=error):
            raise error

        with pytest.raises(type(error)) as raised:
            run(Calls(fail), threads)
        assert raised.value is error
    assert "Traceback" not in capfd.readouterr().err


def test_one_that_waits_for_ever_as_gevent_waits_is_timed_out():
    with pytest.raises(TransientDeliveryError) as raised:
        run(Calls(lambda event, deadline: gevent.sleep(3600)), seconds=0.05)
    assert raised.value.code == "timeout"


def test_one_that_blocks_its_thread_for_ever_stops_nobody(capfd):
    its_end, our_end = os.pipe()
    hook = PluginHook("p", Calls(lambda event, deadline: os.read(its_end, 1)), 1, Clock())
    for _ in range(2):  # the second one does not even get a thread
        with pytest.raises(TransientDeliveryError) as raised:
            hook.execute(EVENT, time.monotonic() + 0.1)
        assert raised.value.code == "timeout"
    hook.close()
    gevent.sleep(0)
    os.write(our_end, b"xx")
    until(lambda: not len(hook._pool))
    os.close(its_end)
    os.close(our_end)


def test_a_thread_waits_while_others_work():
    its_end, our_end = os.pipe()
    execution = gevent.spawn(run, Calls(lambda event, deadline: os.read(its_end, 1)), 1)
    gevent.sleep(0.02)
    assert not execution.ready()  # and we are here
    os.write(our_end, b"x")
    execution.get(timeout=20)
    os.close(its_end)
    os.close(our_end)


def test_a_gevent_timeout_of_somebody_else_passes_through():
    with pytest.raises(gevent.Timeout) as raised, gevent.Timeout(0.02) as mine:
        run(Calls(lambda event, deadline: gevent.sleep(3600)))
    assert raised.value is mine


@pytest.mark.parametrize("threads", [0, 1])
def test_a_batch_goes_to_a_plugin_that_has_batches(threads):
    plugin = Calls()
    error = PermanentDeliveryError("never")
    plugin.execute_batch = lambda events, deadline: (None, error)
    hook = PluginHook("p", plugin, threads, Clock())
    assert hook.execute_batch([EVENT, EVENT], time.monotonic() + 20) == [None, error]


def test_a_batch_is_taken_apart_for_one_that_has_none():
    def odd(event, deadline):
        if event.seq % 2:
            raise PermanentDeliveryError("odd")

    hook = PluginHook("p", Calls(odd), 0, Clock())
    events = [Event("publish_start", 1, id=f"evt_{seq}", seq=seq) for seq in range(3)]
    first, second, third = hook.execute_batch(events, time.monotonic() + 20)
    assert first is None and str(second) == "odd" and third is None


@pytest.mark.parametrize("answer", [[], [None], [None, True], [None, None, None]])
def test_outcomes_of_a_wrong_shape_are_a_bug_of_the_plugin(answer):
    plugin = Calls()
    plugin.execute_batch = lambda events, deadline: answer
    with pytest.raises(TypeError, match="2 times None or a DeliveryError"):
        PluginHook("p", plugin, 0, Clock()).execute_batch([EVENT, EVENT], time.monotonic() + 20)


@pytest.mark.parametrize("threads", [0, 1])
def test_closing_never_waits_nor_raises(threads, caplog):
    class Bad(Calls):
        def close(self):
            super().close()
            raise OSError("cannot")

    plugin = Bad()
    PluginHook("p", plugin, threads, Clock()).close()
    until(lambda: plugin.closed)
    until(lambda: any("does not close" in row.message for row in caplog.records))


# --- the example ----------------------------------------------------------------------------------


@proves("hooks.NAME.name", "hooks.NAME.options.__many__")
def test_the_example_package_installs_and_passes_its_own_tests(tmp_path, monkeypatch):
    """Its metadata made by setuptools from a copy, which is then where Python looks."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.cfg", "setup.py", "rtmpd_plugin_file.py", "test_rtmpd_plugin_file.py"):
        (source / name).write_bytes((EXAMPLE / name).read_bytes())
    quiet = {"cwd": source, "check": True, "capture_output": True}
    subprocess.run([sys.executable, "setup.py", "-q", "egg_info"], **quiet)
    env = {**os.environ, "PYTHONPATH": f"{source}:{Path(__file__).resolve().parents[2]}"}
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], env=env, **quiet)

    monkeypatch.syspath_prepend(str(source))
    ini = tmp_path / "rtmpd.ini"
    ini.write_text(f"[hooks]\n[[a]]\ntype = plugin\nname = file\n[[[options]]]\npath = {tmp_path}/out\n")
    (settings,) = load(flags.parse(["-c", str(ini)]), check_plugin=plugins.check_plugin).settings.hooks.hooks
    hook = build_hook(settings, Clock())
    hook.execute(EVENT, time.monotonic() + 20)
    hook.close()
    assert (tmp_path / "out").read_bytes() == EVENT.json() + b"\n"
    ini.write_text(ini.read_text().replace("path =", "pfad ="))
    with pytest.raises(ConfigError, match=f"{ini}:5: hooks.a.options: plugin file does not take its options"):
        load(flags.parse(["-c", str(ini)]), check_plugin=plugins.check_plugin)
