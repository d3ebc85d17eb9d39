"""The process: what there is before and around the event loop.

Detaching, pid file, user and limits (``process``), signals as words for one worker (``signals``), what systemd and a
waiting shell are sent (``service``), the watch on configuration files, and what helps to debug. It knows settings, errors,
``net`` and the log, and nothing of streams or hooks. Begin in ``process.run``, which calls ``rtmpd.run``.
"""
