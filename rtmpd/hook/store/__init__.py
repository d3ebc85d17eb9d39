"""The event log: what hooks with ``guarantee_level = at-least-once`` count on.

It may import errors, clock, settings, event, log and metrics, and of hook only ``redelivery``. Begin with ``log``,
which accepts, writes and reads, then ``feed`` (one lane's cursor) and ``schema`` (the tables). ``database`` is
everything that blocks, ``retention`` what is deleted, ``recovery`` the ends that a crash cut off.
"""
