"""Imports Airflow into the process of a worker: as a library, without its metadata database.

``import airflow`` normally configures a global database session and takes about twice as long. As a library it leaves
out two things that the scheduling code needs: variables (the plugins folder) and logging. A process that imported
Airflow before in its own way keeps it as it is. It must not know the engine's state or Temporal.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from functools import cache
from threading import Lock

from temporal_airflow.exceptions import VersionMismatchError

_importing = Lock()

LOADED_LATE = (
    "airflow.api_fastapi.core_api.datamodels.dag_run",
    "airflow.serialization.definitions.mappedoperator",
    "airflow.timetables.trigger",
)
"""What Airflow imports only when a DAG first needs it, which would be inside a workflow task."""

AS_LIBRARY = "_AIRFLOW__AS_LIBRARY"
SUPPORTED = ((3, 3, 2), (3, 4))
LOG_LEVEL = "WARNING"
QUIET = "airflow=ERROR airflow.models=CRITICAL airflow.task=CRITICAL"
"""Levels of Airflow's loggers in a worker: what its models log of a run is in the history, once and not per replay."""

COLLECT_AFTER = 10_000
"""New objects after which the youngest garbage is collected. What runs are made of lives long: with Python's 700,
collections take a third of what decisions over 10,000 task instances take."""


def use_as_library() -> None:
    """Make a later ``import airflow`` in this process leave the metadata database alone."""
    if "airflow" not in sys.modules:
        os.environ[AS_LIBRARY] = "1"


def airflow_version() -> str:
    """The installed Airflow's version.

    Raises:
        VersionMismatchError: if this package doesn't fit it.
    """
    from airflow import __version__
    from packaging.version import Version

    release = Version(__version__).release
    low, high = SUPPORTED
    if not low <= release < high:
        raise VersionMismatchError(
            f"Airflow {__version__} is installed; temporal-airflow needs apache-airflow >=3.3.2,<3.4. "
            "Install it with: pip install 'apache-airflow>=3.3.2,<3.4'"
        )
    return __version__


def import_scheduling_code() -> None:
    """Import everything the engine needs, so that no workflow task pays for it; safe to call from several threads."""
    with _importing:
        _import_scheduling_code()


@cache
def _import_scheduling_code() -> None:
    use_as_library()
    import airflow.models
    from airflow import settings
    from airflow._shared.logging import configure_logging
    from sqlalchemy.orm import configure_mappers

    if os.environ.get(AS_LIBRARY):
        settings.configure_vars()
        configure_logging(log_level=LOG_LEVEL, namespace_log_levels=QUIET, output=sys.stderr)
    airflow.models.import_all_models()
    configure_mappers()
    for name in LOADED_LATE:
        importlib.import_module(name)

    from temporal_airflow.engine import dag_run_engine, database, seams  # noqa: F401  # the engine imports the rest

    seams.install(seams.ENGINE_SEAMS)
    database.prepare_template()
    gc.freeze()  # else each full garbage collection walks through all of Airflow, 150 ms in the middle of a step
    youngest, *older = gc.get_threshold()
    gc.set_threshold(max(COLLECT_AFTER, youngest), *older)
