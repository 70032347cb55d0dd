"""Triggers: what waits for deferred tasks, many in one process (``host``), seen from the worker through ``pool``."""
