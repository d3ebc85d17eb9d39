"""The load generator behind ``scripts/bench``: it drives an RTMP server and checks what comes out.

It shares no code with the server it measures. One process, one thread, one epoll; the server has a
processor of its own, the generator another.

How a measurement of media works: a publisher sends, the players join, and when each of them has
media the publisher falls silent until nothing is under way any more. Counters are reset there, the
publisher sends for the measured time and falls silent again. So everything that was sent inside
the window was also delivered inside it, and the processor time between the two silences paid for
exactly these messages.

A sample of the players is parsed and compared byte for byte: order, loss, duplicates, timestamps,
sequence headers, every byte of padding. The others are only counted, which keeps the generator
light enough for hundreds of them on one core; but since every player is sent the same bytes
between the two silences, each count must equal the count of the players that were parsed.

=============  ==============================================================================
module         holds
=============  ==============================================================================
``wire``       the client's half of RTMP: chunks out, chunks in, the few commands needed
``media``      the messages sent: real tag headers, a marker, padding that can be recomputed
``verify``     the checker of what a player receives
``loop``       epoll and timers
``client``     one RTMP session of the generator: connects, publishes or plays
``publisher``  sends media in real time, or as fast as it is taken
``process``    processor time, memory and sockets of the server, from /proc
``servers``    starts and ends the servers that are compared
``rig``        one server and the clients at it, for one trial
``trials``     what is measured
``report``     medians, tables, JSON, Markdown
``cli``        the command line
=============  ==============================================================================

``scripts/bench hooks`` measures how events are accepted and delivered. There the daemon's half runs in a driver of our
own, which calls ``HookManager.emit`` as the server does; the receivers share no code with it.

================  ===========================================================================
module            holds
================  ===========================================================================
``hooks``         the trials and their command line
``hook_job``      what the driver is asked to do
``hook_driver``   a HookManager with one hook, and an emitter
``hook_sink``     an HTTP receiver that checks every event
``hook_worker``   a worker that checks every event
``hook_check``    the checker of both: loss, duplicates, order, delay
================  ===========================================================================
"""
