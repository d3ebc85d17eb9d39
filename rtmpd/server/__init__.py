"""The RTMP server: listeners, connections, and what clients publish and play.

Begin with ``connection``: one client from accept to close, in straight lines. Its parts are ``requests`` (connect,
publish and play, granted or refused), ``gate`` (the wait for a verdict), ``activity`` (its publishes and plays, which
are ``publisher`` and ``player``) and ``report`` (its events and log lines). ``context`` is what all connections share.
Which stream a client means is decided in ``rtmpd.identity``; who may have it, in ``access``.

Imports net, stream, protocol, codec, event, metrics, log and what is below them; no other room of its own floor.
"""
