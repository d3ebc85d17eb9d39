"""Parses the payload of media messages: kind, codec, profile, size, rates, and onMetaData.

``classify`` inspects the first two bytes of every message for the fan-out, ``tag`` decodes the complete header of one
message, ``track`` follows the headers of a stream. There is a module for each codec; ``metadata`` parses onMetaData.
Pure: bytes in, values out. May import ``errors``. Begin with ``classify``.
"""
