"""``rtmpctl``: asks and tells a running rtmpd, over its control socket or over HTTP.

It may import every room but cli, and imports neither gevent nor an HTTP library: an operator's shell loop, a health
check and a completion run it often. Begin with ``parser``, the table of commands; ``commands``, ``hooks``, ``top`` and
``doctor`` are what they do, ``client`` is how they ask, ``text`` how facts read. Exit statuses are in ``exits``.
"""
