"""The HTTP server and the API: health, metrics and control, over TCP, TLS and the control socket.

``server`` and ``exchange`` run connections, ``request`` and ``response`` wrap llhttp and Werkzeug, ``routes`` and
``hooks`` are the table of routes, ``guard`` checks Host and token and answers what is not allowed, ``tail`` streams
events, ``problem`` is the form of every error. May import ``net``, ``metrics``, ``settings``, ``event``, ``stream``,
``clock``, ``change``, ``log`` and ``textfile``; other rooms come in as callables (``api``). Begin with ``front``.
"""
