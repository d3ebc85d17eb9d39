"""What is made of streams besides playing them: recordings, and copies for other servers.

``outputs`` starts and ends them for each stream, ``output`` is the life of one. ``recorder`` gathers frames for
``recording``, which makes files of them in a thread (``flv_file``, ``path``); ``relay`` publishes to another server.
May import ``net``, ``stream``, ``protocol``, ``codec``, ``event``, ``metrics`` and the stones. Begin with ``outputs``.
"""
