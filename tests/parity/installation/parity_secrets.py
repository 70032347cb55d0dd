# mypy: ignore-errors
"""The secrets backend of workers: Airflow's local files, and some of its own."""

from __future__ import annotations

from airflow.secrets.local_filesystem import LocalFilesystemBackend

CONNECTIONS = {
    "of_worker": {"conn_type": "http", "host": "worker.example", "login": "me", "password": "of-the-worker"},
    "of_both": {"conn_type": "generic", "login": "worker", "host": "both.example"},
    "of_worker_and_environment": {"conn_type": "generic", "host": "worker-first.example"},
}
VARIABLES = {
    "of_worker": "by the worker",
    "of_both": "worker",
    "of_worker_and_environment": "worker first",
    "empty": "",
    "json": '{"list": [1, 2]}',
}


class OfWorkers(LocalFilesystemBackend):
    def __init__(self, greeting, **arguments):
        super().__init__(**arguments)
        self.greeting = greeting

    def get_connection(self, conn_id, team_name=None):
        _break(conn_id)
        if conn_id == "of_worker_by_uri":
            return self.deserialize_connection(conn_id, f"mysql://u:p%40ss@host:3306/db?greeting={self.greeting}")
        if conn_id in CONNECTIONS:
            return self._connection_class(conn_id=conn_id, **CONNECTIONS[conn_id])
        return super().get_connection(conn_id)

    def get_variable(self, key, team_name=None):
        _break(key)
        return VARIABLES[key] if key in VARIABLES else super().get_variable(key)


def _break(key):
    if key == "breaks":
        raise RuntimeError("this backend is broken")
