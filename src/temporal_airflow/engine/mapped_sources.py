"""Spares Airflow's evaluator a query for each map index: whether what is mapped over has failed or was skipped.

Its dependency (``MappedTaskUpstreamDep``) asks the database for the same few rows for every one of thousands of task
instances. Where it would find nothing to object to, the rows in memory say so; else it is asked. It must not decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.definitions.mappedoperator import is_mapped
from airflow.ti_deps.dep_context import DepContext
from airflow.ti_deps.deps.base_ti_dep import TIDepStatus
from airflow.ti_deps.deps.mapped_task_upstream_dep import MappedTaskUpstreamDep
from airflow.utils.state import State, TaskInstanceState
from sqlalchemy.orm import Session

from temporal_airflow.engine.dependency_order import OrderedDependencies
from temporal_airflow.engine.events import TaskKey
from temporal_airflow.engine.task_instances import TaskInstances


def sources_of(task: Any) -> set[str]:
    """What a task, or the group around it, maps over, as far as other tasks make it."""
    if is_mapped(task):
        return {source.task_id for source in task.iter_mapped_dependencies()}
    group = task.get_closest_mapped_task_group()
    return {source.task_id for source in group.iter_mapped_dependencies()} if group is not None else set()


def look_in_memory(dag: SerializedDAG, instances: TaskInstances) -> None:
    """Let the tasks of a run's DAG look for their sources in memory first."""
    for task in dag.tasks:
        deps = task.deps
        if isinstance(deps, OrderedDependencies):
            deps.replace(MappedTaskUpstreamDep, _SourcesInMemory(sources_of(task), instances))


class _SourcesInMemory(MappedTaskUpstreamDep):
    def __init__(self, sources: set[str], instances: TaskInstances) -> None:
        self._sources = [TaskKey(task_id, -1) for task_id in sorted(sources)]
        self._instances = instances

    def _get_dep_statuses(
        self, ti: TaskInstance, dep_context: DepContext, *, session: Session
    ) -> Iterator[TIDepStatus]:
        found = (self._instances.get(key) for key in self._sources)
        finished = {source.state for source in found if source is not None and source.state in State.finished}
        if finished - {TaskInstanceState.SUCCESS}:
            yield from super()._get_dep_statuses(ti, dep_context, session=session)
