"""The RTMP server: listeners, connections, and what clients publish and play.

Begin with ``connection``: one client from accept to close. Its parts are ``requests`` (connect, publish and play,
granted or refused), ``gate`` (the wait for a verdict), ``activity`` (its publishes and plays), ``publisher`` (emits
publish_start and publish_stop), ``player`` (play_start and play_stop) and ``report`` (the connection's events and log
lines). ``server`` opens, swaps at a reload and closes the ``listener`` objects. All connections share the ``context``.
``rtmpd.identity`` decides which stream a client means, ``access`` decides who may have it, ``requests`` has most texts
of refusals (``rtmpd.errors`` lists the others).

May import ``net``, ``stream``, ``protocol``, ``codec``, ``event``, ``metrics``, ``log`` and the floors below.
"""
