"""What a webhook sends of an event: JSON, CloudEvents, batches, templates, and what a receiver asks for.

May import ``event``, ``settings`` and ``errors``; opens no connection itself.
Begin with ``format`` (from settings to an encoder), then ``negotiation`` (which one, as of now).
Text of the network is escaped for the content type that it is put into (``template``).
"""
