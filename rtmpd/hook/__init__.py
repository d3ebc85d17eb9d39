"""Delivery of events to hooks: routing, filters, queues, retries, storage, and the requests themselves.

Begin with ``manager`` (emit, routing, reload). ``filter`` decides which events a hook gets (operators are in
``filter.condition``). ``lane`` queues and delivers for one hook (``lane.health`` pauses it and holds its breaker),
``store`` is the event log on disk, ``sink`` reaches the receiver, ``body`` and ``auth`` make the content and signature
of webhooks, ``record`` counts and logs attempts, ``control`` serves operators. The delays of retries are in
``rtmpd.backoff``; ``fault`` decides what is at fault. May import ``event``, ``metrics``, ``log``, ``net`` and the
modules of the lowest floor.
"""
