"""Sockets and networks: connections as sources of messages, listening, outgoing connections, and kinds of addresses.

``transport`` is a socket (``tls`` encrypts), ``peer`` speaks the lower half of RTMP over it, ``writer`` queues bytes
that must not be lost. ``listen`` opens listening sockets, ``outgoing`` resolves names and connects, ``dial`` and
``link`` are an RTMP client. ``networks`` defines which addresses are private, loopback or public. May import
``protocol``, ``errors``, ``clock`` and ``log``. Begin with ``peer``.
"""
