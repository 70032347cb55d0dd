"""``temporal-airflow dev``: server, UI and worker until Ctrl-C."""

from __future__ import annotations

from temporal_airflow.cli.console import execute
from temporal_airflow.cli.worker import DagsFolder, serve
from temporal_airflow.settings import load_settings


def dev(dags_folder: DagsFolder = None) -> None:
    """Run a server with its UI and a worker until Ctrl-C; start runs with `trigger` from another terminal."""
    execute(serve(dags_folder, (), load_settings(drain_timeout=0)))
