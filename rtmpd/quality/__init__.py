"""Judges what a publish sends: rates that change, and alerts for what its operator does not want.

``meter`` turns messages into a sample every two seconds of media, ``monitor`` turns samples into events by the rules of
``settings.quality``, ``window`` is what both compare with. Pure: it reads no clock, the media's time is handed in.
May import ``codec``, ``settings``, ``event`` and ``errors``. Begin with ``monitor.Monitor.judge``.
"""
