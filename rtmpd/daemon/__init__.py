"""The process around the event loop: detaching, pid file, user and limits, signals, systemd, and debugging.

``process`` does the steps before the loop starts, ``signals`` queues signals for one worker greenlet, ``service``
reports to systemd and to a waiting shell, ``filewatch`` notices changed configuration files. May import ``settings``,
``errors``, ``net`` and ``log``. Begin with ``process.run``, which runs ``rtmpd.run``. What a signal does is in
``rtmpd.run``.
"""
