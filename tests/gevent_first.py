"""Patches the standard library before anything else is imported (``-p tests.gevent_first`` in setup.cfg)."""

from gevent import monkey

monkey.patch_all()
