"""Which task instances the evaluation of a task depends on: read off the DAG once, when a run is opened.

It must not know a run, nor what becomes of its tasks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.definitions.mappedoperator import is_mapped

if TYPE_CHECKING:
    from airflow.serialization.definitions.mappedoperator import Operator


def innermost_groups(dag: SerializedDAG) -> dict[str, object]:
    """The innermost mapped group of each task in one, unless it is mapped itself."""
    groups = {task.task_id: task.get_closest_mapped_task_group() for task in dag.tasks if not is_mapped(task)}
    return {task_id: group for task_id, group in groups.items() if group is not None}


def mapped_over(dag: SerializedDAG) -> dict[str, set[str]]:
    """For each task those whose number of task instances depends on it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for task in dag.tasks:
        for source in _mapped_dependencies(task):
            found[source.task_id].add(task.task_id)
    return found


def distant_relatives(dag: SerializedDAG) -> dict[str, set[str]]:
    """What the evaluator asks about besides direct upstream tasks: setups, or all between a teardown and its setups."""
    tasks = dag.task_dict
    if not any(task.is_setup for task in tasks.values()):
        return {}
    return {name: _scope_of(task) if task.is_teardown else _setups_of(task) for name, task in tasks.items()}


def _setups_of(task: Operator) -> set[str]:
    """Setups that a task needs, direct upstream or not."""
    return {setup.task_id for setup in task.get_upstreams_only_setups()}


def _scope_of(teardown: Operator) -> set[str]:
    """Tasks between a teardown and its setups."""
    below = [setup.get_flat_relative_ids(upstream=False) for setup in teardown.upstream_list if setup.is_setup]
    return teardown.get_flat_relative_ids(upstream=True) & set().union(*below)


def dependents(
    dag: SerializedDAG, distant: Mapping[str, set[str]], over: Mapping[str, set[str]]
) -> dict[str, list[str]]:
    """For each task those whose evaluation depends on it.

    Args:
        dag: of the run.
        distant: :func:`distant_relatives`.
        over: :func:`mapped_over`.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for task_id, task in dag.task_dict.items():
        for relative in task.upstream_task_ids | distant.get(task_id, set()):
            found[relative].add(task_id)
    for source, mapped in over.items():
        found[source] |= mapped
    return defaultdict(list, {task_id: sorted(names) for task_id, names in found.items()})


def _mapped_dependencies(task: Operator) -> Iterable[Operator]:
    """What a task, or a group around it, maps over (``MappedTaskUpstreamDep``)."""
    if is_mapped(task):
        yield from task.iter_mapped_dependencies()
    for group in task.iter_mapped_task_groups():
        yield from group.iter_mapped_dependencies()
