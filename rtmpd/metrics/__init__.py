"""Metrics and faults: one catalogue of each, one registry of values, and their page for Prometheus.

It may import settings and clock, so that every room may count here. Begin with ``catalogue`` (every metric) and
``fault`` (every kind of fault); ``registry`` holds the values and asks the collectors, ``prometheus`` renders them.
"""
