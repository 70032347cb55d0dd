"""Which scheduled task instances of a run may start now.

These are the run's own limits of Airflow's scheduler loop (``_executable_task_instances_to_queued``): order by
priority weight and map index, ``max_active_tasks`` (waiting for a trigger takes no place) and
``max_active_tis_per_dagrun`` (it does). Where Airflow leaves the order to its database, task ids decide. Limits across
runs are not decided here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import NamedTuple

from airflow.models.taskinstance import TaskInstance
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.ti_deps.dependencies_states import EXECUTION_STATES
from airflow.utils.state import TaskInstanceState

from temporal_airflow.engine.events import TaskKey
from temporal_airflow.engine.task_instances import TaskInstances


class Place(NamedTuple):
    """A scheduled task instance's place among all, most important first."""

    weight: int
    map_index: int
    task_id: str

    @property
    def key(self) -> TaskKey:
        """Of the task instance."""
        return TaskKey(self.task_id, self.map_index)


class StartQueue:
    """Scheduled task instances of a run, in the order in which they may start."""

    def __init__(self, instances: TaskInstances, dag: SerializedDAG) -> None:
        self._instances = instances
        self._dag = dag
        self._unlimited: list[Place] = []
        self._limited: dict[str, list[Place]] = {}
        self._limits = {
            task_id: task.max_active_tis_per_dagrun
            for task_id, task in dag.task_dict.items()
            if task.max_active_tis_per_dagrun is not None
        }

    def take(self, most: int) -> list[TaskInstance]:
        """Those within the run's limits, most important first; what isn't started must be put back.

        Args:
            most: how many at most.
        """
        new, self._instances.scheduled = self._instances.scheduled, []
        self.put_back(new)
        free = min(most, self._dag.max_active_tasks - self._instances.count(EXECUTION_STATES))
        taken: Counter[str] = Counter()
        chosen: dict[TaskKey, TaskInstance] = {}
        while len(chosen) < free and (heap := self._first_heap(taken)):
            key = heappop(heap).key
            ti = self._instances.get(key)
            if ti is not None and ti.state == TaskInstanceState.SCHEDULED and key not in chosen:
                taken[key.task_id] += 1
                chosen[key] = ti
        return list(chosen.values())

    def put_back(self, task_instances: Iterable[TaskInstance]) -> None:
        """Let task instances wait for their start (again)."""
        for ti in task_instances:
            limited = ti.task_id in self._limits
            heap = self._limited.setdefault(ti.task_id, []) if limited else self._unlimited
            heappush(heap, Place(-(ti.priority_weight or 0), ti.map_index, ti.task_id))

    def _first_heap(self, taken: Counter[str]) -> list[Place]:
        """The heap whose first place comes first of all that may start; empty if none may."""
        heaps = [heap for task_id, heap in self._limited.items() if heap and self._has_room(task_id, taken)]
        return min((heap for heap in (self._unlimited, *heaps) if heap), key=lambda heap: heap[0], default=[])

    def _has_room(self, task_id: str, taken: Counter[str]) -> bool:
        """Whether another task instance of a task may be active; its own count includes those that wait."""
        return self._instances.active(task_id) + taken[task_id] < self._limits[task_id]
