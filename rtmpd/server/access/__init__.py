"""Decides who may publish and play: questions in, verdicts out. This room knows neither sockets nor connections.

Begin with ``access``: the rules of each application, made from the settings; then ``question``, what is asked and
answered. Each mode is a module: ``fixed`` (tokens of the configuration and of the token file), ``signed``, ``webtoken``
(JWT), ``callback`` (an HTTP endpoint decides). ``command`` is ``rtmpd token``.

Imports errors, clock, settings, identity and text, and nothing of the server outside of this package.
"""
