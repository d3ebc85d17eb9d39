"""The live streams in memory: a publisher in, players and outputs out, and what late joiners need.

``registry`` finds streams and claims their keys. ``stream`` is one of them; a message goes through ``timeline`` (its
time), ``gop`` (late join), ``fanout`` (the send loop) and ``flush`` (when). Only ``subscriber`` drops.
May import ``protocol``, ``codec``, ``event``, ``metrics`` and the stones. Begin with ``stream.Stream.publish``.
"""
