"""RTMP and FLV as pure functions and tables: bytes in, values out, no socket, no clock.

``handshake`` and ``chunk`` turn bytes into messages, ``amf0`` and ``command`` read commands, ``session`` decides by
state what a client may ask (``notice`` is what it reports), ``client`` is the same for an RTMP client, ``flv`` reads
and writes tags. ``status`` encodes answers; ``rtmpd.errors`` says where the texts of refusals are. May import
``errors``. Begin with ``session``.
"""
