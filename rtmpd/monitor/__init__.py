"""The daemon's instruments: its own figures, alerts about them, file systems, and the way of the metrics to StatsD.

It may import event, metrics, net, clock, settings, change and log; what it watches comes through the callables of
``monitor.Sources``. Begin with ``instruments``, which wires the room; ``alerts`` is when a value becomes an alert,
``system`` the figures of the process, ``disks`` those of the file systems.
"""
