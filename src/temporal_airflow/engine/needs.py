"""What a task instance needs of what runs share: slots of its pool, and places under limits across runs.

It must not know who has or asks for what.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import TaskInstanceState

from temporal_airflow import identifiers
from temporal_airflow.models import SharedLimits

PARKED = (TaskInstanceState.DEFERRED, TaskInstanceState.AWAITING_INPUT)


class Need(NamedTuple):
    """Slots of one limit that a task instance needs to start.

    Attributes:
        keeper: id of the workflow that keeps the limit.
        kept_in: states of waiting in which it needs them still, beside running (Airflow counts them differently).
        size: of the limit, if no user has set it.
    """

    keeper: str
    slots: int
    kept_in: tuple[TaskInstanceState, ...]
    size: int | None = None

    @property
    def is_of_pool(self) -> bool:
        """Whether it is slots of a pool."""
        return self.kept_in == (TaskInstanceState.DEFERRED,)


class Needs:
    """Which limits the task instances of a run have to keep."""

    def __init__(self, limits: SharedLimits, dag_id: str) -> None:
        self._limits = limits
        self._dag_id = dag_id

    def of(self, ti: TaskInstance) -> Iterator[Need]:
        """What a task instance needs to start, in the order in which it is asked for."""
        limits = self._limits
        if (size := limits.tasks.get(ti.task_id)) is not None:
            yield Need(identifiers.task_limit_workflow_id(self._dag_id, ti.task_id), 1, PARKED, size)
        if ti.pool in limits.pools:
            yield Need(identifiers.pool_workflow_id(ti.pool), ti.pool_slots, (TaskInstanceState.DEFERRED,))
        if limits.parallelism is not None:
            yield Need(identifiers.PARALLELISM_WORKFLOW_ID, 1, (), limits.parallelism)

    def size_of(self, keeper: str) -> int | None:
        """The size of a limit; None if a user sets it, as that of a pool."""
        if keeper == identifiers.PARALLELISM_WORKFLOW_ID:
            return self._limits.parallelism
        sizes = {
            identifiers.task_limit_workflow_id(self._dag_id, task_id): size
            for task_id, size in self._limits.tasks.items()
        }
        return sizes.get(keeper)


def why_waiting(need: Need, ti: TaskInstance) -> str:
    """Why a task instance waits for something shared, as Airflow's dependency says it but for the numbers."""
    if need.keeper == identifiers.PARALLELISM_WORKFLOW_ID:
        return f"The parallelism of {need.size} in this namespace has been reached."
    if need.size is not None:
        return "The max task concurrency has been reached."
    return f"Not scheduling since there are not enough open slots in pool {ti.pool} and require {need.slots} pool slots"
