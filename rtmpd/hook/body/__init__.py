"""The bodies of webhooks: JSON, CloudEvents, batches, templates, and negotiation of the format.

May import ``event``, ``settings`` and ``errors``; opens no connection itself.
Begin with ``format`` (from settings to an encoder), then ``negotiation`` (which encoder is in effect).
``template`` escapes text from the network for the content type of the body.
"""
