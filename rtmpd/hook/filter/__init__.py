"""Which events a hook gets: type, severity, stream, conditions, rate, in this order.

May import ``event``, ``settings``, ``errors`` and ``clock``; pure but for the time that the rate limit looks at.
Begin with ``engine``: filters are compiled when the settings are read, and asked for each event by ``manager.emit``.
Every refusal has a reason of a small fixed set, and is counted.
"""
