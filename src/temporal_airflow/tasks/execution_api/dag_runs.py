"""Namespaces ``dag_runs`` and ``dags``: other runs of this and other DAGs, as far as the worker can look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from airflow.sdk.api.datamodels._generated import DagResponse, DagRun, DagRunStateResponse
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import DRCount, ErrorResponse, OKResponse, PreviousDagRunResult

from temporal_airflow.exceptions import UnsupportedFeatureError
from temporal_airflow.models import DagRunRecord, TaskExecutionInput, TriggeredRun, TriggerWrite
from temporal_airflow.tasks.execution_api.errors import not_found
from temporal_airflow.tasks.execution_api.run_queries import RunQueries, as_dag_run
from temporal_airflow.tasks.execution_api.task_state_store import writer_of
from temporal_airflow.tasks.execution_api.unsupported import unsupported
from temporal_airflow.tasks.messages import AskTrigger


@dataclass(frozen=True)
class DagRuns:
    """Namespace ``dag_runs``."""

    queries: RunQueries
    task: TaskExecutionInput | None = None

    def trigger(  # noqa: PLR0917
        self,
        dag_id: str,
        run_id: str,
        conf: dict[str, Any] | None = None,
        logical_date: datetime | None = None,
        run_after: datetime | None = None,
        reset_dag_run: bool = False,  # Airflow's signature
        note: str | None = None,
    ) -> OKResponse | ErrorResponse:
        """Start a run of a DAG."""
        if self.task is None:
            raise UnsupportedFeatureError(unsupported("Starting a run from a callback or a trigger"))
        triggered = TriggeredRun(dag_id=dag_id, run_id=run_id, logical_date=logical_date, run_after=run_after)
        ask = AskTrigger(
            dag_id=self.task.run.dag_id,
            run_id=self.task.run.run_id,
            task_instance_id=self.task.task_instance_id,
            intent=TriggerWrite(kind="trigger", writer=writer_of(self.task), triggered=triggered),
            conf=conf or {},
            note=note,
            triggering_user_name=self.task.run.triggering_user_name,
        )
        if not self.queries.asker.ask(ask).conflict:
            return OKResponse(ok=True)
        if reset_dag_run:
            return self.clear(dag_id, run_id)
        return ErrorResponse(error=ErrorType.DAGRUN_ALREADY_EXISTS)

    def clear(self, dag_id: str, run_id: str) -> NoReturn:
        """Refused: a run that exists can't be run again."""
        self._existing(dag_id, run_id)
        raise UnsupportedFeatureError(
            unsupported(f"Clearing the run {run_id!r} of DAG {dag_id!r} (reset_dag_run), which exists already,")
        )

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
        runs = self.queries.matching(dag_id, run_ids, logical_dates, with_tasks=False)
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
    """Namespace ``dags``: the DAGs of the worker's bundles."""

    queries: RunQueries

    def get(self, dag_id: str) -> DagResponse:
        """What a DAG's file says; none is paused and none is scheduled."""
        dag = self.queries.dag(dag_id)
        if dag is None:
            raise not_found(f"The Dag with dag_id: `{dag_id}` was not found")
        return DagResponse(
            dag_id=dag_id,
            is_paused=False,
            bundle_name=dag.bundle.name,
            bundle_version=dag.bundle.version,
            relative_fileloc=dag.bundle.relative_fileloc,
            owners=dag.owners,
            tags=list(dag.tags),
            next_dagrun=None,
        )
