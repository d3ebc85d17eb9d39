"""Streams for viewers over HTTP.

::

    playback    which address means what, and what a browser may do (CORS)
    feed        what is made of a stream once for many viewers, and a viewer that is sent it for as long as it lasts
    fragments   a stream as fragments of MP4: HTTP-fMP4 and the snapshot
    hls         playlists and segments of HLS
    visitor     who watches HLS, over many requests
    directory   HLS as files
    flv         HTTP-FLV, and the same over WebSocket
    websocket   RFC 6455, as far as a server needs it that sends binary messages

A viewer is a session like that of an RTMP player: the door (``server.viewing``) admits it by the same rules. The HTTP
server of the house is handed in: ``Playback.handle`` answers its requests. May import ``net``, ``stream``, ``cmaf``,
``protocol``, ``codec``, ``event``, ``metrics`` and the stones. Begin with ``playback``.
"""
