"""How a run starts and stops activities: where they run, and for how long. It must not know what they are for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from temporal_airflow import identifiers
from temporal_airflow.engine.events import AttemptLost, TaskKey, TaskStopped, TaskStuck
from temporal_airflow.models import Routing, TaskExecutionInput

NO_LIMIT = timedelta(days=3650)
"""Temporal wants some limit on an activity; a task's length is Airflow's business (``execution_timeout``)."""

ONE_ATTEMPT = RetryPolicy(maximum_attempts=1)
WITHOUT_END = RetryPolicy(maximum_interval=timedelta(seconds=10))
"""Of what can be started anew any time, so that a lost worker is no loss: without limit."""


BANDS = (1000, 100, 10, 1)
"""Least Airflow priority weights of Temporal's priorities 1 to 4, where 1 comes first; what weighs less has 5."""


def priority_of(weight: int, dag_id: str) -> Priority:
    """Who comes first where workers are short: the more important, and among those no DAG before the others."""
    band = next((number for number, least in enumerate(BANDS, start=1) if weight >= least), len(BANDS) + 1)
    return Priority(priority_key=band, fairness_key=identifiers.fairness_key(dag_id))


class Activities:
    """Starts the activities of one run."""

    def __init__(self, routing: Routing, heartbeat_timeout: float, queued_timeout: float | None = None) -> None:
        """Start nothing yet.

        Args:
            routing: where the workers are.
            heartbeat_timeout: seconds without a sign of life after which an activity is lost.
            queued_timeout: seconds that an attempt may wait for a worker.
        """
        self._routing = routing
        self.queued_timeout = None if queued_timeout is None else timedelta(seconds=queued_timeout)
        self._heartbeat_timeout = timedelta(seconds=heartbeat_timeout)

    def start(self, name: str, argument: object, **how: Any) -> workflow.ActivityHandle[Any]:
        """Start an activity that may take as long as it likes while it gives a sign of life."""
        return workflow.start_activity(
            name,
            argument,
            start_to_close_timeout=NO_LIMIT,
            heartbeat_timeout=self._heartbeat_timeout,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            **how,
        )

    @property
    def queue_of_triggers(self) -> str:
        """Where takes place what waits and takes no slot of a worker."""
        return identifiers.trigger_queue(self._routing.task_queue)

    def queue_of(self, airflow_queue: str | None) -> str:
        """Where tasks of an Airflow queue run."""
        base = self._routing.task_queue
        if not self._routing.route_queues:
            return base
        return identifiers.task_queue(base, airflow_queue, self._routing.task_queues)


def stop(handle: workflow.ActivityHandle[Any]) -> None:
    """Cancel an activity, unless its end is among what this activation brings: a cancelled handle would hide that."""
    asyncio.create_task(_stop(handle), name="stop an activity")  # noqa: RUF006  # the SDK keeps the tasks of a run


async def _stop(handle: workflow.ActivityHandle[Any]) -> None:
    await workflow.wait_condition(lambda: True)  # by then all ends have been heard
    handle.cancel()


def activity_id(attempt: TaskExecutionInput) -> str:
    """The id of an attempt: the same for no other of the run."""
    return identifiers.activity_id(
        attempt.task_id,
        attempt.map_index,
        attempt.try_number,
        attempt=attempt.attempt,
        reschedules=attempt.task_reschedule_count,
        deferrals=attempt.deferral_count,
    )


def not_ended(key: TaskKey, try_number: int, error: ActivityError) -> TaskStopped | TaskStuck | AttemptLost:
    """What became of something that has no result."""
    if isinstance(error.cause, CancelledError):
        return TaskStopped(key, try_number)
    if isinstance(error.cause, TemporalTimeoutError) and error.cause.type == TimeoutType.SCHEDULE_TO_START:
        return TaskStuck(key, try_number)
    return AttemptLost(key, try_number, _loss(error))


def _loss(error: ActivityError) -> str:
    """What to tell people of an attempt that infrastructure took away."""
    match error.cause:
        case TemporalTimeoutError():
            return "no heartbeat: the worker or its machine went away"
        case ApplicationError(type="WorkerShutdown"):
            return "the worker was shut down"
        case None:
            return str(error)
        case cause:
            return str(cause)
