"""The HTTP server and the API: health, metrics and control, over TCP, TLS and the control socket.

``server`` and ``exchange`` run connections, ``request`` and ``response`` wrap llhttp and Werkzeug, ``routes`` is the
table of what can be asked and ``route`` checks its parameters, ``guard`` checks Host and token and answers what is not
allowed, ``tail`` streams events, ``openapi`` describes it all. May import ``net``, ``metrics``, ``settings``,
``event``, ``stream``, ``clock``, ``change``, ``errors``, ``log`` and ``textfile``; other rooms come in as callables
(``api``). Begin with ``front``.
"""
