"""Events to whoever asked for them: which hook gets an event, and how it is delivered, retried and kept.

May import ``event``, ``metrics``, ``log``, ``net`` and the stones; knows no other room, which all give it ``emit``
only. Begin with ``manager``: emit, routing, reload. ``lane`` delivers, ``store`` keeps, ``sink`` sends, ``filter``
refuses, ``body`` and ``auth`` make what webhooks send, ``record`` remembers, ``control`` is what an operator asks for.
"""
