"""What only makes documents: manual pages, completion, the AsyncAPI document, metric tables, dashboards, alert rules.

``scripts/gen_docs`` writes them, from the tables of ``rtmpd``. Nothing in ``rtmpd`` imports from here: the daemon and
``rtmpctl`` do without. Begin in ``scripts/gen_docs``, whose table ``PAGES`` says which module makes which file.
"""
