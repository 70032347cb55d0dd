"""The command line: thin commands over ``client`` and ``in_place``. Data goes to stdout, everything else to stderr."""

from __future__ import annotations


def main() -> None:
    """Entry point of ``temporal-airflow``: as a library, Airflow touches no database and starts twice as fast."""
    from temporal_airflow.engine.airflow_library import use_as_library

    use_as_library()
    from temporal_airflow.cli.app import app

    app()
