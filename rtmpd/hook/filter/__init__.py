"""Decides which events a hook gets, by type, severity, stream, conditions and rate, in this order.

Begin with ``engine``: filters are compiled when the settings are read, and ``manager.emit`` calls them for each event.
``condition`` has the operators. Every refusal has one of a few fixed reasons, and is counted.
May import ``event``, ``settings``, ``errors`` and ``clock``; pure except for the clock of the rate limit.
"""
