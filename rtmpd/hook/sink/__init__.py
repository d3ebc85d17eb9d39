"""How one event, or a batch, reaches its receiver: webhook, script, worker, plugin, standard output.

May import ``event``, ``auth``, ``body``, the hooks' HTTP client and child processes; nothing of lanes or the store.
Begin with ``base``: ``execute`` returns when the event is delivered and raises what went wrong; whose fault that is
and whether there is another try is not decided here (``hook.fault``, ``hook.lane``).
"""
