"""Decides who may publish and play. It knows neither sockets nor connections.

Begin with ``access``: the rules of each application, made from the settings. ``question`` has only the two values that
go in and out, Question and Verdict. Each mode is a module: ``fixed`` (tokens of the configuration and of the token
file), ``signed``, ``webtoken`` (JWT), ``callback`` (an HTTP endpoint decides). ``command`` is ``rtmpd token``.

May import ``errors``, ``clock``, ``settings``, ``identity`` and ``text``, and nothing of the server outside this
package.
"""
