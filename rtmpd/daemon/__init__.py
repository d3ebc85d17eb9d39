"""The process: what there is before and around the event loop.

Detaching, pid file, user and limits (``process``), signals as words for one worker (``signals``), what systemd and a
waiting shell are sent (``service``), the watch on configuration files, and what helps to debug. It may import settings,
errors, ``net`` and the log. Begin in ``process.run``, which runs ``rtmpd.run``.
"""
