"""Spares Airflow's evaluator to count again and again how many map indexes a task has to have.

It reads all of them whenever one of them may start. Here they are read once, until the length of what is mapped over
can have changed. It must not decide which map indexes there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance

from temporal_airflow.engine.task_instances import TaskInstances

if TYPE_CHECKING:
    from airflow.serialization.definitions.mappedoperator import Operator


class RememberingRun:
    """Stands for the run where Airflow's evaluator asks it."""

    def __init__(self, dag_run: DagRun, instances: TaskInstances, mapped_over: Mapping[str, set[str]]) -> None:
        self._dag_run = dag_run
        self._instances = instances
        self._lengths: dict[str, int] = {}
        self._mapped_over = mapped_over
        self.run_id = dag_run.run_id

    def forget_lengths(self, task_id: str) -> None:
        """A task has ended: what is mapped over it may have another length."""
        for mapped in self._mapped_over.get(task_id, ()):
            self._lengths.pop(mapped, None)

    def forget_all_lengths(self) -> None:
        """Tasks that have ended may run again."""
        self._lengths.clear()

    def _revise_map_indexes_if_mapped(self, task: Operator, **how: Any) -> Iterable[TaskInstance]:
        if not task.get_needs_expansion():
            return ()
        length = len(self._instances.of_task(task.task_id))
        if self._lengths.get(task.task_id) == length:
            return ()
        revised = list(self._dag_run._revise_map_indexes_if_mapped(task, **how))
        if not revised:
            self._lengths[task.task_id] = length
        return revised
