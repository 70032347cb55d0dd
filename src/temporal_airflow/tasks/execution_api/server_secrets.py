"""What Airflow's server would find where a task's own lookup found nothing: in ``[secrets] backend``.

Tasks look into ``[workers] secrets_backend`` if there is one, else into ``[secrets] backend``. In the first case the
server, asked last, still looks into the second. It must not know who asks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import structlog
from airflow.sdk.api.datamodels._generated import ConnectionResponse
from airflow.sdk.configuration import conf, get_custom_secret_backend
from airflow.sdk.definitions.connection import Connection
from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied

log = structlog.get_logger(__name__)


def connection(conn_id: str) -> ConnectionResponse | None:
    """A connection of the server's backend."""
    found = _ask(lambda backend: backend.get_connection(conn_id=conn_id))
    if found is None:
        return None
    fields = ("conn_id", "conn_type", "host", "schema", "login", "password", "port", "extra")
    return ConnectionResponse(**{name: getattr(found, name) for name in fields})


def variable(key: str) -> str | None:
    """A variable of the server's backend."""
    found: str | None = _ask(lambda backend: backend.get_variable(key=key))
    return found


def _ask(lookup: Callable[[Any], Any]) -> Any:
    backend = _backend()
    if backend is None:
        return None
    try:
        return lookup(backend)
    except AirflowSecretsBackendAccessDenied:
        raise
    except Exception:  # as Airflow's server: a broken backend has nothing
        log.exception("Unable to retrieve a secret from the secrets backend (%s).", type(backend).__name__)
        return None


@functools.cache
def _backend() -> Any:
    if not conf.get("workers", "secrets_backend", fallback=None):
        return None  # the task has asked it itself
    backend = get_custom_secret_backend(worker_mode=False)
    if backend is not None:
        backend._set_connection_class(Connection)
    return backend
