"""What a run is told of earlier runs of its DAG, because its tasks depend on them (``depends_on_past``)."""

from __future__ import annotations

from datetime import datetime

from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunType

from temporal_airflow.models.base import WireModel


class PastTaskInstance(WireModel):
    """A task instance of an earlier run."""

    task_id: str
    map_index: int = -1
    state: TaskInstanceState | None = None


class PastRun(WireModel):
    """An earlier run, with the task instances that were asked for."""

    run_id: str
    run_type: DagRunType
    logical_date: datetime
    state: DagRunState
    task_instances: tuple[PastTaskInstance, ...] = ()


class PastRuns(WireModel):
    """The earlier runs that count: the last of all, and the last that wasn't started by hand.

    Further runs only as far as they show that a task has run before.
    """

    runs: tuple[PastRun, ...] = ()


class PastRunsQuestion(WireModel):
    """Input of the activity ``watch_past_airflow_runs``.

    Attributes:
        task_ids: whose task instances count.
        maybe_new_task_ids: those of them for which it counts whether any earlier run had them
            (``ignore_first_depends_on_past``).
        known: the last answer: the activity ends once there is another; None wants an answer at once.
    """

    dag_id: str
    run_id: str
    logical_date: datetime
    task_ids: tuple[str, ...]
    maybe_new_task_ids: tuple[str, ...] = ()
    known: PastRuns | None = None
