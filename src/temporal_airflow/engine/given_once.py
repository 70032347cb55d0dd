"""What Airflow computes anew in each evaluation though it follows from the DAG alone: computed once, when it is loaded.

In large DAGs these are most of the cost: all tasks above a task are searched for setups whenever it is looked at, and
all tasks below are summed up for its priority. It must not know any run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.definitions.mappedoperator import is_mapped
from airflow.task.priority_strategy import (
    _AbsolutePriorityWeightStrategy,
    _DownstreamPriorityWeightStrategy,
    _UpstreamPriorityWeightStrategy,
)

ABSOLUTE = _AbsolutePriorityWeightStrategy()
MOST_DIFFERENT_WEIGHTS = 50
"""With more of them in one DAG, summing up as Airflow does is no slower."""


def give(dag: SerializedDAG) -> None:
    """Let a DAG's tasks answer from memory."""
    _give_weights(dag)
    _give_setups(dag)


def _give_setups(dag: SerializedDAG) -> None:
    any_setups = any(task.is_setup for task in dag.tasks)
    for task in dag.tasks:
        given = _remembered(task) if any_setups else tuple
        object.__setattr__(task, "get_upstreams_only_setups", given)


def _remembered(task: Any) -> Callable[[], tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []

    def upstream_setups() -> tuple[Any, ...]:
        if not found:
            found.append(tuple(type(task).get_upstreams_only_setups(task)))
        return found[0]

    return upstream_setups


def _give_weights(dag: SerializedDAG) -> None:
    """Replace sums of weights by their results, as absolute weights."""
    weights: Counter[int] = Counter(task.priority_weight for task in dag.tasks)
    if len(weights) > MOST_DIFFERENT_WEIGHTS:
        return
    rules = {task.task_id: type(task.weight_rule) for task in dag.tasks}
    given: dict[str, int] = {}
    for rule, upstream in ((_DownstreamPriorityWeightStrategy, False), (_UpstreamPriorityWeightStrategy, True)):
        task_ids = [task_id for task_id, own in rules.items() if own is rule]
        if task_ids:
            sums = _sums(dag, upstream)
            if len(sums) < len(rules):
                return  # a task depends on itself: Airflow refuses that, but not always
            given |= {task_id: dag.task_dict[task_id].priority_weight + sums[task_id] for task_id in task_ids}
    for task_id, weight in given.items():
        _set_weight(dag.task_dict[task_id], weight)


def _set_weight(task: Any, weight: int) -> None:
    if is_mapped(task):
        task.partial_kwargs |= {"weight_rule": "absolute", "priority_weight": weight}
    else:
        task._weight_rule = ABSOLUTE
        task.priority_weight = weight


def _sums(dag: SerializedDAG, upstream: bool) -> dict[str, int]:
    """Of the weights of all tasks above or below each task."""
    bits = {task_id: 1 << number for number, task_id in enumerate(dag.task_dict)}
    masks: Counter[int] = Counter()
    for task_id, task in dag.task_dict.items():
        masks[task.priority_weight] |= bits[task_id]
    direct = {task_id: task.get_direct_relative_ids(upstream) for task_id, task in dag.task_dict.items()}
    found: dict[str, int] = {}
    for task_id in _relatives_first(direct):
        found[task_id] = 0
        for relative in direct[task_id]:
            found[task_id] |= bits[relative] | found[relative]
    return {
        task_id: sum(weight * (relatives & mask).bit_count() for weight, mask in masks.items())
        for task_id, relatives in found.items()
    }


def _relatives_first(direct: Mapping[str, Collection[str]]) -> Iterator[str]:
    """All tasks, each after its relatives."""
    relative_of: defaultdict[str, list[str]] = defaultdict(list)
    for task_id, relatives in direct.items():
        for relative in relatives:
            relative_of[relative].append(task_id)
    missing = {task_id: len(relatives) for task_id, relatives in direct.items()}
    free = [task_id for task_id, count in missing.items() if not count]
    while free:
        task_id = free.pop()
        yield task_id
        for other in relative_of[task_id]:
            missing[other] -= 1
            if not missing[other]:
                free.append(other)
