"""Attempts that run in a workflow of their own, beside the run: what it is given, and what it says."""

from __future__ import annotations

from temporal_airflow.models.attempts import TaskExecutionInput, TaskExecutionResult
from temporal_airflow.models.base import CompactModel, WireModel
from temporal_airflow.models.writes import Routing


class BatchedAttempt(CompactModel):
    """One attempt.

    Attributes:
        queue: Airflow's queue.
        weight: its priority weight.
    """

    queue: str | None = None
    attempt: TaskExecutionInput
    weight: int = 1


class AttemptBatch(WireModel):
    """Input of the workflow ``run_airflow_tasks``.

    Attributes:
        run_workflow_id: whom to tell how the attempts ended.
        heartbeat_timeout: seconds.
        queued_timeout: seconds that an attempt may wait for a worker.
    """

    run_workflow_id: str
    routing: Routing
    heartbeat_timeout: float
    attempts: tuple[BatchedAttempt, ...]
    queued_timeout: float | None = None


class OpenAttempt(CompactModel):
    """An attempt that a batch has not told the end of.

    Attributes:
        activity_id: the same for no other attempt of the run.
    """

    task_id: str
    map_index: int = -1
    try_number: int
    activity_id: str


class AttemptReport(OpenAttempt):
    """How an attempt ended: with a result, lost, or stopped.

    Attributes:
        loss: why there is no result.
        stuck: whether no worker took it in time.
    """

    result: TaskExecutionResult | None = None
    loss: str | None = None
    stuck: bool = False


class AttemptReports(WireModel):
    """Signal of a batch to its run; may come twice."""

    reports: tuple[AttemptReport, ...]


class OpenBatch(WireModel):
    """A batch that has not ended, as its run knows it."""

    workflow_id: str
    attempts: tuple[OpenAttempt, ...]
