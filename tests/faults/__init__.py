"""Faults, and the judge of what they do to deliveries.

=============  ==============================================================================
module         holds
=============  ==============================================================================
``ledger``     lines that are appended to a file, and what sender and receiver have agreed on
``receiver``   a process that takes webhooks, checks them with the reference libraries, and misbehaves
``worker``     a worker hook that notes what it gets
``producer``   a process that emits events at a fixed rate, and notes those that are on the disk
``failpoints`` moments at which the producer dies
``auditor``    joins the ledgers: what is lost, what came twice and does not say why, what is out of order
``rig``        starts and kills these processes
``power``      a file system in memory that forgets what was not synced when the power is cut
``trials``     what is run, by the tests with small numbers and by ``scripts/reliability`` with large ones
=============  ==============================================================================

``ledger``, ``receiver``, ``worker`` and ``auditor`` import nothing of rtmpd.
"""
