"""The CMAF muxer: media messages of a stream become fragmented MP4. Pure: bytes in, bytes out.

Begin with ``muxer.Muxer``. There is one for each consumer that cuts in its own way; it is fed what a stream gives a
tap, and the caller says where fragments end::

    muxer = Muxer()
    ...
    for frame in frames:                        # Tap: frame.type_id, frame.timestamp, frame.payload
        for fragment in muxer.feed(frame.type_id, frame.timestamp, frame.payload):
            put(fragment)                       # had to end here: what follows is a discontinuity
        if muxer.at_keyframe or muxer.pending_ms >= 200:
            for fragment in muxer.cut():        # none, or one
                put(fragment)
    for fragment in muxer.finish():             # the end of the stream: what was held back too
        put(fragment)

A ``Fragment`` has its bytes as ``pieces`` (for ``join``, ``writev`` or ``sendmsg``; payloads are not copied), its
``init`` (``Init``: the bytes of the init segment, ``codecs`` of RFC 6381, width and height), ``start_ticks`` and
``duration_ticks`` in ``timescale``, ``keyframe`` (whether it begins with one; always without video) and
``discontinuity`` (whether something ends before it: another init, or timestamps that jumped). Where ``fragment.init``
is another object than that of the fragment before, the new init segment has to be sent first. Time is continuous over
all fragments of a muxer.

``at_keyframe`` is whether a cut now makes the next fragment begin with a keyframe, so segments are made of whole
fragments. The muxer holds back one frame of each track, because the duration of a sample is known from the next one.
Codecs that MP4 does not carry raise MediaError ``codec_unsupported`` that names the codec.

``boxes`` writes boxes, ``entry`` makes the sample entry of each codec from its sequence header, and ``hybrid`` makes an
ordinary MP4 of a file of fragments and finds whole fragments in one that a crash left. May import ``errors`` and
``codec``.
"""
