"""A Temporal server of our own: found, downloaded or built, started tuned, shared by commands, stopped after the last.

``lease`` is all that others use. It must not know Airflow, runs or workers.
"""

from __future__ import annotations

from temporal_airflow.dev_server.leasing import DevServer, lease

__all__ = ["DevServer", "lease"]
