"""Authentication of webhooks: signatures, tokens, OAuth 2.0.

May import ``settings``, ``errors``, ``clock``, ``log`` and, for token endpoints, the hooks' own HTTP client.
Begin with ``signing``: a signer turns a body into headers at the time of sending, never when the event is queued.
Errors and logs never contain a secret.
"""
