"""Patches the standard library before anything else is imported (``-p tests.gevent_first`` in setup.cfg)."""

import signal

from gevent import monkey

monkey.patch_all()

# A suite that runs in the background of a script has SIGINT ignored, and so would everything that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
