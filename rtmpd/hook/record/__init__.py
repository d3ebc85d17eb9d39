"""Records of deliveries: metrics, the log of attempts, the signed audit trail.

May import ``event``, ``metrics``, ``sink.base``, the modules of the lowest floor and gevent; lanes know only its
``Observer``. Begin with ``records``, which sees each attempt and each final result, and passes them on. Nothing here
delays a delivery: slow writes go through ``batches``, a queue that is bounded and counted.
"""
