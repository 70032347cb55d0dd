"""Task instances in the order in which they may start: the order of Airflow's scheduler within one run.

Priority weight, then map index; where Airflow leaves the order to its database, task ids decide. Those of tasks with
``max_active_tis_per_dagrun`` are kept apart, so that a full one holds nobody up. It must not know what they wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import NamedTuple

from airflow.models.taskinstance import TaskInstance

from temporal_airflow.engine.events import TaskKey


class Place(NamedTuple):
    """A scheduled task instance's place among all, most important first."""

    weight: int
    map_index: int
    task_id: str

    @property
    def key(self) -> TaskKey:
        """Of the task instance."""
        return TaskKey(self.task_id, self.map_index)

    @classmethod
    def of(cls, ti: TaskInstance) -> Place:
        """Where a task instance belongs."""
        return cls(-(ti.priority_weight or 0), ti.map_index, ti.task_id)


class Places:
    """Task instances that wait for the same thing."""

    def __init__(self, limits: Mapping[str, int], is_waiting: Callable[[TaskKey], bool]) -> None:
        """Nobody waits.

        Args:
            limits: ``max_active_tis_per_dagrun`` by task.
            is_waiting: whether a task instance still waits here; it may have been put in more than once.
        """
        self._limits = limits
        self._is_waiting = is_waiting
        self._unlimited: list[Place] = []
        self._limited: dict[str, list[Place]] = {}

    def put(self, ti: TaskInstance) -> None:
        """Let a task instance wait."""
        limited = ti.task_id in self._limits
        heap = self._limited.setdefault(ti.task_id, []) if limited else self._unlimited
        heappush(heap, Place.of(ti))

    def first(self, has_room: Callable[[str], bool]) -> Place | None:
        """Who comes first of all that may start; None if none may.

        Args:
            has_room: whether another task instance of a limited task may be active.
        """
        heap = self._first_heap(has_room)
        return heap[0] if heap else None

    def pop(self, has_room: Callable[[str], bool]) -> Place:
        """The same, who then waits no more."""
        return heappop(self._first_heap(has_room))

    def _first_heap(self, has_room: Callable[[str], bool]) -> list[Place]:
        heaps = [self._unlimited, *(heap for task_id, heap in self._limited.items() if heap and has_room(task_id))]
        for heap in heaps:
            while heap and not self._is_waiting(heap[0].key):
                heappop(heap)
        return min((heap for heap in heaps if heap), key=lambda heap: heap[0], default=[])
