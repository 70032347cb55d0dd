"""Gives task instances what a user's ``task_instance_mutation_hook`` made of them when the run was submitted.

Airflow calls the hook whenever it creates a task instance: with the run, and again for each map index of an expansion.
It must not know the hook, which is user code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from airflow.models.taskinstance import TaskInstance

from temporal_airflow.engine.events import TaskKey
from temporal_airflow.models import MutatedTaskInstances


class TaskMutations:
    """The hook's answers for one run."""

    def __init__(self, mutated: Iterable[MutatedTaskInstances]) -> None:
        self._of_task: defaultdict[str, list[MutatedTaskInstances]] = defaultdict(list)
        for each in mutated:
            self._of_task[each.task_id].append(each)
        self._seen: set[TaskKey] = set()

    def apply(self, task_instances: Iterable[TaskInstance]) -> None:
        """Mutate those task instances that are new."""
        for ti in task_instances if self._of_task else ():
            key = TaskKey(ti.task_id, ti.map_index)
            if key not in self._seen:
                self._seen.add(key)
                self._mutate(ti)

    def unseen(self, keys: Iterable[TaskKey]) -> list[TaskKey]:
        """Those that are new."""
        return [key for key in keys if key not in self._seen] if self._of_task else []

    def resume(self, keys: Iterable[TaskKey], unseen: Iterable[TaskKey]) -> None:
        """Know again which task instances are new.

        Args:
            keys: of all task instances.
            unseen: of those that are new.
        """
        self._seen = set(keys) - set(unseen) if self._of_task else set()

    def _mutate(self, ti: TaskInstance) -> None:
        for each in self._of_task.get(ti.task_id, ()):
            if each.first <= ti.map_index <= each.last:
                ti.queue = each.queue
                ti.pool_slots = each.pool_slots
                ti.priority_weight = each.priority_weight
                ti.max_tries = each.max_tries
