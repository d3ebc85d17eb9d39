"""Turns configuration files and flags into the frozen slices of ``settings``, or into a list of all problems.

Begin with ``loader.load``. To add an option, add it to ``rtmpd.spec`` (name, kind, bounds, default, help) and add a
field with the same default to its slice in ``settings`` (for [server], [limits] and [apps]: ``settings.server``).
``options`` only reads that table. A new kind of value needs a function in ``values`` or its siblings. Checks of several
options together are in the module of their section: ``access``, ``api``, ``auth``, ``body``, ``delivery``, ``filters``,
``outputs``, ``process``, ``sinks``, ``store``, and ``build`` for the rest. May import ``settings``, ``errors``,
``identity`` and ``textfile``. The front door passes in what only another room can check (a condition, a key, a
template) as callables.
"""
