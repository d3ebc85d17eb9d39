"""Judges the media of a publish: changes of its rates, and quality alerts.

``meter`` turns messages into a sample every two seconds of media, ``monitor`` turns samples into events by the rules of
``settings.quality``, ``window`` has the history that both compare with. Pure: it reads no clock, only the media's time.
May import ``codec``, ``settings``, ``event`` and ``errors``. Begin with ``monitor.Monitor.judge``.
"""
