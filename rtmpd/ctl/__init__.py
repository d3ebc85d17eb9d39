"""``rtmpctl``: queries and controls a running rtmpd over its control socket or over HTTP.

May import every room except ``cli``. It imports neither gevent nor an HTTP library, because shell loops, health checks
and completion run it often. Begin with ``parser``, the table of commands. ``commands``, ``hooks``, ``top`` and
``doctor`` implement them, ``client`` sends requests, ``text`` formats answers for people. Exit statuses are in
``rtmpd.exits``.
"""
