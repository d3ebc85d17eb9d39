"""Self-monitoring: figures of the process, alerts about them, file systems, and the export of metrics to StatsD.

May import ``event``, ``metrics``, ``net``, ``clock``, ``settings``, ``change`` and ``log``. The figures of other rooms
come through the callables of ``monitor.Sources``. Begin with ``instruments``, which connects the parts. ``alerts``
decides when a value becomes an alert, ``system`` reads the figures of the process, ``disks`` those of the file systems.
"""
