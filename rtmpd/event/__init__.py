"""Events as values: the catalogue of types and fields, the envelope, and its JSON Schema.

``catalogue`` is the only table: names, severities, and the fields of each event's ``data``. ``event`` is the envelope
with its JSON and environment forms, ``birth`` gives ids and numbers, ``pairing`` knows which end belongs to which
start. Pure; imports nothing of rtmpd. Begin with ``catalogue``. An event is emitted by the room that sees it happen.
"""
