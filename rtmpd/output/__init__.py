"""Outputs of streams: recordings, and relays to other servers.

``outputs`` starts and ends them for each stream, ``output`` is the base class of one. ``recorder`` queues frames for a
thread, in which ``recording`` cuts them into files: ``path`` makes the file name from the template, ``flv_file``
writes. ``relay`` publishes to another server. May import ``net``, ``stream``, ``protocol``, ``codec``, ``event``,
``metrics`` and the modules of the lowest floor. Begin with ``outputs``.
"""
