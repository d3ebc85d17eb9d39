"""The live streams in memory: one publisher in, players and outputs out, and the cache for late joiners.

``registry`` finds streams and reserves their keys. ``stream`` is one stream; a message passes through ``timeline`` (its
time), ``gop`` (the GOP cache and its limits), ``flush`` (when to send) and ``fanout`` (the send loop). Only
``subscriber`` drops media. ``tap`` serves recorders and relays. May import ``protocol``, ``codec``, ``event``,
``metrics`` and the modules of the lowest floor. Begin with ``stream.Stream.publish``.
"""
