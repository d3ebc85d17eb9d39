"""What the payload of a media message says: kind, codec, profile, size, rates, and the words of onMetaData.

``classify`` is the look at two bytes that the fan-out takes at each message, ``tag`` decodes the whole header of one,
``track`` follows what a stream's headers say; there is a module for each codec, and ``metadata`` for onMetaData.
Pure: bytes in, values out. May import ``errors``. Begin with ``classify``.
"""
