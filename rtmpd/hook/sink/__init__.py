"""Sends one event or a batch to its receiver: webhook, script, worker, plugin, standard output.

May import ``event``, ``auth``, ``body``, the hooks' HTTP client and child processes; nothing of lanes or the store.
Begin with ``base``: ``execute`` returns when the event is delivered and raises an error otherwise. What is at fault,
and whether there is another attempt, is decided elsewhere (``hook.fault``, ``hook.lane``).
"""
