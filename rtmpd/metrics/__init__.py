"""Metrics and faults: a catalogue of each, the registry of values, and the page for Prometheus.

``catalogue`` has the name, labels and help text of every metric, ``fault`` every kind of fault. ``registry`` stores
values and calls collectors, ``prometheus`` renders them; ``monitor.statsd`` sends them. May import ``settings`` and
``clock``. Begin with ``catalogue``. The code that sets a metric uses its name as a literal, which the registry checks:
``server.measure`` (server, applications, streams), ``hook.record.metrics`` (hooks), ``hook.store.log``,
``output.outputs``, ``monitor.system``.
"""
