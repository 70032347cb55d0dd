"""Imports what a DAG file imports of Airflow, so that every task forked from this process has it already.

None of the file's own code runs. It must not know tasks.
"""

from __future__ import annotations

from functools import cache

import structlog
from airflow.dag_processing.processor import _pre_import_airflow_modules

from temporal_airflow.tasks import bundle_files

log = structlog.get_logger(__name__)


def prepare(path: str) -> None:
    """Import for a file, unless that is done for the file as it is now."""
    try:
        _prepare(path, bundle_files.signature(path))
    except Exception as error:  # noqa: BLE001  # only a saving; the task meets the same error and reports it
        log.debug("DAG file can't be prepared", error=error)


@cache
def _prepare(path: str, _signature: tuple[int, int]) -> None:
    _pre_import_airflow_modules(path, log)
