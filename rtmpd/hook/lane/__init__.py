"""The queue and the workers of one hook: what waits, who delivers it, and what follows from each attempt.

Begin with ``lane`` (the workers), then ``outcome`` (the result for an event) and ``health`` (the result for the lane:
its pause, breaker and concurrency); each has its table at the top. ``schedule`` knows what may be delivered now,
``batching`` collects batches, ``deadletter`` keeps undeliverable events, ``builder`` makes a lane from settings. May
import ``event``, ``record``, ``sink.base``, ``store.feed``, ``fault``, the modules of the lowest floor and gevent;
nothing of HTTP.
"""
