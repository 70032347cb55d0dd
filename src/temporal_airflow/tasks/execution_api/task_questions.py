"""What tasks ask about themselves and others, half of the namespace ``task_instances``.

The answers follow ``airflow/api_fastapi/execution_api/routes/task_instances.py``. It must not know how run records are
found.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from airflow.sdk.api.datamodels._generated import (
    AssetProfile,
    InactiveAssetsResponse,
    PreviousTIResponse,
    PrevSuccessfulDagRunResponse,
    TaskBreadcrumbsResponse,
    TaskStatesResponse,
)
from airflow.sdk.execution_time.comms import PreviousTIResult, TaskRescheduleStartDate, TICount
from airflow.utils.state import State

from temporal_airflow.models import AssetKey, AssetLookup, DagRunIdentity, DagRunRecord, TaskInstanceRecord
from temporal_airflow.tasks.execution_api.errors import not_found
from temporal_airflow.tasks.execution_api.kept_state import RunScope
from temporal_airflow.tasks.execution_api.run_queries import RunQueries, TaskFilter, as_dag_run
from temporal_airflow.tasks.state_questions import FindAssets

Matching = list[tuple[DagRunRecord, TaskInstanceRecord]]


@dataclass(frozen=True)
class TaskQuestions:
    """What a task may ask about itself and others."""

    queries: RunQueries
    run: DagRunIdentity
    scope: RunScope
    first_reschedule_date: datetime | None = None
    declared_assets: tuple[AssetKey, ...] = ()

    def get_reschedule_start_date(self, id: UUID, try_number: int = 1) -> TaskRescheduleStartDate:  # noqa: A002, ARG002
        """Start of the try's first poke."""
        return TaskRescheduleStartDate(start_date=self.first_reschedule_date)

    def validate_inlets_and_outlets(self, id: UUID) -> InactiveAssetsResponse:  # noqa: A002, ARG002
        """Which of the task's assets another one of the same name or URI stands in the way of."""
        if not self.declared_assets:
            return InactiveAssetsResponse(inactive_assets=[])
        known = self.scope.ask(FindAssets(lookup=AssetLookup(keys=self.declared_assets))).assets
        active = {(asset.name, asset.uri) for asset in known if asset.active}
        inactive = {(asset.name, asset.uri) for asset in self.declared_assets} - active
        profiles = [AssetProfile(name=name, uri=uri, type="Asset") for name, uri in sorted(inactive)]
        return InactiveAssetsResponse(inactive_assets=profiles)

    def get_previous_successful_dagrun(self, id: UUID) -> PrevSuccessfulDagRunResponse:  # noqa: A002, ARG002
        """The last successful run before this one."""
        if self.run.logical_date is None:
            return PrevSuccessfulDagRunResponse()
        previous = self.queries.previous(self.run.dag_id, self.run.logical_date, "success")
        if previous is None:
            return PrevSuccessfulDagRunResponse()
        return PrevSuccessfulDagRunResponse.model_validate(as_dag_run(previous), from_attributes=True)

    def get_count(
        self, dag_id: str, states: list[str] | None = None, *, task_group_id: str | None = None, **which: Any
    ) -> TICount:
        """How many task instances match."""
        matching = self._matching(dag_id, states, **which)
        if task_group_id is not None:
            matching = self._within(dag_id, task_group_id, matching)
        return TICount(count=len(matching))

    def get_task_states(
        self,
        dag_id: str,
        *,
        task_ids: list[str] | None = None,
        task_group_id: str | None = None,
        **which: Any,
    ) -> TaskStatesResponse:
        """States by run, then by task; a mapped one is named ``task_mapindex``."""
        matching = self._matching(dag_id, task_ids=task_ids, **which)
        if task_group_id is not None:
            of_group = self._within(dag_id, task_group_id, self._matching(dag_id, **which))
            matching = [*matching, *of_group] if task_ids else of_group
        states: dict[str, dict[str, str | None]] = {}
        for run, instance in matching:
            name = instance.task_id if instance.map_index < 0 else f"{instance.task_id}_{instance.map_index}"
            states.setdefault(run.run.run_id, {})[name] = instance.state
        return TaskStatesResponse(task_states=states)

    def get_previous(
        self,
        dag_id: str,
        task_id: str,
        logical_date: datetime | None = None,
        map_index: int = -1,
        state: str | None = None,
    ) -> PreviousTIResult:
        """The latest such task instance of an earlier run."""
        for run in self.queries.earlier(dag_id, logical_date):
            for instance in run.task_instances:
                if (instance.task_id, instance.map_index) == (task_id, map_index) and state in (None, instance.state):
                    return PreviousTIResult(task_instance=_as_previous(run, instance))
        return PreviousTIResult(task_instance=None)

    def get_task_breakcrumbs(self, dag_id: str, run_id: str) -> TaskBreadcrumbsResponse:
        """Finished task instances of a run; Airflow's client spells it so."""
        run = self.queries.run(dag_id, run_id)
        instances = run.task_instances if run else ()
        finished = [instance for instance in instances if instance.state in State.finished]
        finished.sort(key=lambda instance: (instance.task_id, instance.map_index))
        return TaskBreadcrumbsResponse(breadcrumbs=[_as_breadcrumb(instance) for instance in finished])

    def _matching(
        self,
        dag_id: str,
        states: list[str] | None = None,
        *,
        map_index: int | None = None,
        task_ids: list[str] | None = None,
        logical_dates: list[datetime] | None = None,
        run_ids: list[str] | None = None,
    ) -> Matching:
        which = TaskFilter(task_ids, map_index, states)
        runs = self.queries.matching(dag_id, run_ids, logical_dates)
        return [(run, instance) for run in runs for instance in run.task_instances if which.matches(instance)]

    def _within(self, dag_id: str, task_group_id: str, matching: Matching) -> Matching:
        dag = self.queries.dag(dag_id)
        if dag is None:
            raise not_found(f"The Dag with ID: `{dag_id}` was not found")
        if task_group_id not in dag.task_groups:
            raise not_found(f"Task group {task_group_id} not found in DAG {dag_id}")
        return [(run, instance) for run, instance in matching if instance.task_id in dag.task_groups[task_group_id]]


def _seconds(instance: TaskInstanceRecord) -> float | None:
    if instance.start_date is None or instance.end_date is None:
        return None
    return (instance.end_date - instance.start_date).total_seconds()


def _as_previous(run: DagRunRecord, instance: TaskInstanceRecord) -> PreviousTIResponse:
    return PreviousTIResponse(
        task_id=instance.task_id,
        dag_id=run.run.dag_id,
        run_id=run.run.run_id,
        logical_date=run.run.logical_date,
        start_date=instance.start_date,
        end_date=instance.end_date,
        state=instance.state,
        try_number=instance.try_number,
        map_index=instance.map_index,
        duration=_seconds(instance),
    )


def _as_breadcrumb(instance: TaskInstanceRecord) -> dict[str, Any]:
    return {
        "task_id": instance.task_id,
        "map_index": instance.map_index,
        "state": instance.state,
        "operator": None,
        "duration": _seconds(instance),
    }
