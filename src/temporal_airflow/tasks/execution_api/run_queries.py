"""Questions about runs, answered from run records that the worker fetches.

It must not know how the worker gets them; a record is fetched each time, since tasks poll for changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from airflow.sdk.api.datamodels._generated import DagRun

from temporal_airflow.models import DagDescription, DagRunRecord, TaskInstanceRecord
from temporal_airflow.tasks.channel import Asker, QuestionFailedError
from temporal_airflow.tasks.messages import AskDag, AskPreviousRun, AskRun, AskRuns

END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC)

MAX_RUNS_BACK = 50
"""How many runs a search for an earlier task instance goes back."""

NO_STATE = "null"
"""How the Execution API writes the state None in a filter."""


log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TaskFilter:
    """Which task instances of a run are meant; empty means all."""

    task_ids: list[str] | None = None
    map_index: int | None = None
    states: list[str] | None = None

    def matches(self, instance: TaskInstanceRecord) -> bool:
        """Whether a task instance is meant; a negative map index is no filter, as in Airflow's client."""
        if self.task_ids and instance.task_id not in self.task_ids:
            return False
        if self.map_index is not None and self.map_index >= 0 and instance.map_index != self.map_index:
            return False
        return not self.states or (instance.state or NO_STATE) in self.states


@dataclass(frozen=True)
class RunQueries:
    """Finds run records."""

    asker: Asker

    def run(self, dag_id: str, run_id: str) -> DagRunRecord | None:
        """The run with this id."""
        return self.asker.ask(AskRun(dag_id=dag_id, run_id=run_id)).run

    def previous(self, dag_id: str, before: datetime, state: str | None = None) -> DagRunRecord | None:
        """The latest run before a logical date."""
        return self.asker.ask(AskPreviousRun(dag_id=dag_id, logical_date=before, state=state)).run

    def earlier(self, dag_id: str, before: datetime | None) -> Iterator[DagRunRecord]:
        """Runs before a logical date, latest first; all runs by default."""
        date = before or END_OF_TIME
        for _ in range(MAX_RUNS_BACK):
            run = self.previous(dag_id, date)
            if run is None or run.run.logical_date is None:
                return
            yield run
            date = run.run.logical_date

    def matching(
        self,
        dag_id: str,
        run_ids: list[str] | None,
        logical_dates: list[datetime] | None,
        *,
        with_tasks: bool = True,
    ) -> Iterable[DagRunRecord]:
        """The runs that are named by id, by logical date, or by both; all of a DAG if they are named by neither."""
        if run_ids:
            found = [run for run_id in dict.fromkeys(run_ids) if (run := self.run(dag_id, run_id))]
            return [run for run in found if not logical_dates or run.run.logical_date in logical_dates]
        dates = tuple(logical_dates) if logical_dates else None
        return self.asker.ask(AskRuns(dag_id=dag_id, logical_dates=dates, with_tasks=with_tasks)).runs

    def dag(self, dag_id: str) -> DagDescription | None:
        """What a DAG is; None if there is none."""
        try:
            return self.asker.ask(AskDag(dag_id=dag_id)).dag
        except QuestionFailedError:
            log.info("DAG can't be found", dag_id=dag_id, exc_info=True)
            return None


def as_dag_run(record: DagRunRecord) -> DagRun:
    """A run as the Execution API describes it."""
    run = record.run
    return DagRun(
        dag_id=run.dag_id,
        run_id=run.run_id,
        logical_date=run.logical_date,
        data_interval_start=run.data_interval_start,
        data_interval_end=run.data_interval_end,
        run_after=run.run_after,
        start_date=record.start_date,
        end_date=record.end_date,
        run_type=run.run_type.value,
        state=record.state.value,
        conf=run.conf,
        triggering_user_name=run.triggering_user_name,
        consumed_asset_events=[],
        partition_key=run.partition_key,
        note=run.note,
    )
