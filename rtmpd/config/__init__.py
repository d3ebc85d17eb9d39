"""Text becomes settings: configuration files and flags in, the frozen slices of ``settings`` out, or every problem.

It may import ``settings``, ``errors``, ``identity`` and ``textfile``. What only another room can judge (a condition, a
key, a template) it is handed as a callable by the front door. Begin with ``loader.load``.

A new option takes a line in ``rtmpd.spec`` (name, kind, bounds, default, help) and a field of the slice in ``settings``
with the same default. A new kind of value takes a function in the module of values that it belongs to. What only
several options together can tell stands in the module of their section: ``access``, ``api``, ``auth``, ``body``,
``delivery``, ``filters``, ``outputs``, ``process``, ``sinks``, ``store``, and ``build`` for the rest.
"""
