"""The event log on disk, for hooks with ``guarantee_level = at-least-once``.

Begin with ``log``, which accepts, writes and reads, then ``feed`` (one lane's cursor) and ``schema`` (the tables).
``database`` has everything that blocks, ``retention`` deletes old events. May import ``errors``, ``clock``,
``settings``, ``event``, ``log`` and ``metrics``, and of ``hook`` only ``redelivery`` and ``threads``.
"""
