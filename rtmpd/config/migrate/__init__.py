"""``rtmpd migrate``: what other servers are configured with becomes a file of ours, and what does not is told.

Each reader (``flags``, ``hooks_yaml``, ``nginx``, ``srs``, ``mediamtx``) fills a ``draft.Draft``: settings, scripts,
and a note with file and line for everything that means something else here or has no equivalent.
"""
