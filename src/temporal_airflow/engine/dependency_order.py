"""Fixes the order in which a task's dependencies are asked.

Airflow keeps them in a set whose order is that of addresses in memory, and some of them change the state of the task
instance they look at: where one finds it skipped and another failed, the last one asked decides. So the same DAG can
end differently in two Airflow schedulers, and would in two workers. Here they are asked in the order in which Airflow
writes them down. It must not know what a dependency decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from airflow.serialization.definitions.dag import SerializedDAG
from airflow.ti_deps.deps.base_ti_dep import BaseTIDep

AS_WRITTEN = (
    "NotInRetryPeriodDep", "PrevDagrunDep", "TriggerRuleDep", "NotPreviouslySkippedDep", "MappedTaskUpstreamDep",
)  # fmt: skip
"""Airflow's ``DEFAULT_OPERATOR_DEPS``; others come after them by name."""


class OrderedDependencies:
    """A task's dependencies, for Airflow's ``dep_context.deps | task.deps``."""

    def __init__(self, dependencies: Iterable[BaseTIDep]) -> None:
        by_name = {type(dependency).__name__: dependency for dependency in dependencies}
        self._ordered = [by_name[name] for name in sorted(by_name, key=_rank)]

    def __iter__(self) -> Iterator[BaseTIDep]:
        return iter(self._ordered)

    def __ror__(self, others: Iterable[BaseTIDep]) -> OrderedDependencies:
        return OrderedDependencies([*others, *self._ordered]) if others else self

    def __deepcopy__(self, _: object) -> OrderedDependencies:
        return self  # Airflow copies tasks to select some of them; a dependency may know the run

    def replace(self, kind: type[BaseTIDep], other: BaseTIDep) -> None:
        """Ask another in the place of a dependency, if that is among them."""
        self._ordered = [other if type(each) is kind else each for each in self._ordered]


def fix_dependency_order(dag: SerializedDAG) -> None:
    """Let the dependencies of all tasks of a DAG be asked in the same order everywhere."""
    for task in dag.tasks:
        object.__setattr__(task, "deps", OrderedDependencies(task.deps))  # as Airflow itself adds one to a sensor


@cache
def _rank(name: str) -> tuple[int, str]:
    return (AS_WRITTEN.index(name) if name in AS_WRITTEN else len(AS_WRITTEN), name)
