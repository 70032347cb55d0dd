"""Run unchanged Apache Airflow DAGs as durable Temporal workflows.

Importing this package imports neither Airflow nor Temporal and starts nothing: public names load when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from temporal_airflow.api import DagRunResult, run_dag, run_dag_async
    from temporal_airflow.exceptions import TemporalAirflowError
    from temporal_airflow.plugin import TemporalAirflowPlugin
    from temporal_airflow.scripted_answers import Answer

__all__ = ["Answer", "DagRunResult", "TemporalAirflowError", "TemporalAirflowPlugin", "run_dag", "run_dag_async"]

_HOMES = {
    "Answer": "temporal_airflow.scripted_answers",
    "DagRunResult": "temporal_airflow.api",
    "TemporalAirflowError": "temporal_airflow.exceptions",
    "TemporalAirflowPlugin": "temporal_airflow.plugin",
    "run_dag": "temporal_airflow.api",
    "run_dag_async": "temporal_airflow.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
