"""Command-line tools that need no daemon: ``rtmpd publish``, ``rtmpd play`` and ``rtmpd files``.

``publish`` sends an FLV file to a server, ``play`` receives a stream, both through ``link``; ``timeline`` paces the
tags, ``files`` lists and prints the data files. May import ``net``, ``protocol``, ``codec``, ``log`` and the modules of
the lowest floor. Only the front door imports this room. Begin with ``publish``.
"""
