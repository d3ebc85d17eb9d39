"""One hook's way from an event to its end: what waits, who delivers it, what follows from each try.

May import ``event``, ``record``, ``sink.base``, ``store.feed`` and ``fault``, the stones and gevent; nothing of HTTP.
Begin with ``lane`` (the workers), then ``outcome`` (what becomes of an event) and ``health`` (what becomes of the
lane): each has its table at the top. ``schedule`` is what may be delivered now, ``batching`` many at once, ``builder``
makes it. """
