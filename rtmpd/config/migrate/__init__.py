"""``rtmpd migrate``: what other servers are configured with becomes a file of ours, and what does not is noted.

It may import the rest of ``config``, and only the front door imports it. Begin with ``command.main``. Each reader
(``flags``, ``hooks_yaml``, ``nginx``, ``srs``, ``mediamtx``) fills a ``draft.Draft``: settings, scripts, and a note
with file and line for what means something else here or has no equivalent. Rules of who may publish or play are
carried over with their conditions or refused (``Draft.refuse``); names from the network never become text that a shell
reads (``scripts``).
"""
