"""Airflow's scheduling code on a database of its own: events in, commands out.

It imports Airflow and never ``temporalio``. It is synchronous and deterministic: the same ordered batches of events at
the same times give the same commands, so it can be run, tested and timed without a server.
"""
