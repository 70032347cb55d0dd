"""Namespaces ``dag_runs`` and ``dags``: other runs of this and other DAGs, as far as the worker can look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from airflow.sdk.api.datamodels._generated import DagResponse, DagRun, DagRunStateResponse
from airflow.sdk.execution_time.comms import DRCount, PreviousDagRunResult

from temporal_airflow.exceptions import UnsupportedFeatureError
from temporal_airflow.models import BundleReference, DagRunRecord
from temporal_airflow.tasks.execution_api.errors import not_found
from temporal_airflow.tasks.execution_api.run_queries import RunQueries, as_dag_run
from temporal_airflow.tasks.execution_api.unsupported import unsupported


@dataclass(frozen=True)
class DagRuns:
    """Namespace ``dag_runs``."""

    queries: RunQueries

    def trigger(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused: no task can start a run yet."""
        raise UnsupportedFeatureError(unsupported("TriggerDagRunOperator"))

    clear = trigger

    def get_detail(self, dag_id: str, run_id: str) -> DagRun:
        """The run with this id."""
        return as_dag_run(self._existing(dag_id, run_id))

    def get_state(self, dag_id: str, run_id: str) -> DagRunStateResponse:
        """The state of a run."""
        return DagRunStateResponse(state=self._existing(dag_id, run_id).state.value)

    def get_count(
        self,
        dag_id: str,
        logical_dates: list[datetime] | None = None,
        run_ids: list[str] | None = None,
        states: list[str] | None = None,
    ) -> DRCount:
        """How many of the named runs there are, in one of the given states if any are given."""
        runs = self.queries.matching(dag_id, run_ids, logical_dates)
        return DRCount(count=sum(not states or run.state in states for run in runs))

    def get_previous(self, dag_id: str, logical_date: datetime, state: str | None = None) -> PreviousDagRunResult:
        """The latest run before a logical date."""
        run = self.queries.previous(dag_id, logical_date, state)
        return PreviousDagRunResult(dag_run=as_dag_run(run) if run else None)

    def _existing(self, dag_id: str, run_id: str) -> DagRunRecord:
        run = self.queries.run(dag_id, run_id)
        if run is None:
            raise not_found(f"Dag run with dag_id '{dag_id}' and run_id '{run_id}' was not found")
        return run


@dataclass(frozen=True)
class Dags:
    """Namespace ``dags``: only the task's own DAG is known."""

    queries: RunQueries
    dag_id: str
    bundle: BundleReference

    def get(self, dag_id: str) -> DagResponse:
        """What is known of the DAG without a metadata database."""
        if dag_id != self.dag_id:
            raise UnsupportedFeatureError(unsupported(f"Asking for another DAG ({dag_id!r})"))
        return DagResponse(
            dag_id=dag_id,
            is_paused=False,
            bundle_name=self.bundle.name,
            bundle_version=self.bundle.version,
            relative_fileloc=self.bundle.relative_fileloc,
            owners=None,
            tags=[],
            next_dagrun=None,
        )
