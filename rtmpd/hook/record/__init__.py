"""What is remembered of deliveries: metrics, the log of attempts, the signed audit trail.

May import ``event``, ``metrics``, ``sink.base``, the stones and gevent; the lanes know its ``Observer`` only.
Begin with ``records``, which sees each try and each end, and passes them on. Nothing here holds up a delivery:
what is slow to write is queued, bounded and counted.
"""
