"""Lets stock Airflow ask a task's dependencies in the order in which it writes them down.

Airflow keeps them in sets, in which they stand in the order of their addresses in memory: two schedulers can decide
differently. Importing this before anything else of Airflow gives them small hashes, so that they stand in our order.
"""

from __future__ import annotations

from airflow.ti_deps.deps.base_ti_dep import BaseTIDep

AS_WRITTEN = (
    "NotInRetryPeriodDep", "PrevDagrunDep", "TriggerRuleDep", "NotPreviouslySkippedDep", "MappedTaskUpstreamDep",
    "ReadyToRescheduleDep",
)  # fmt: skip


def _rank(dependency: BaseTIDep) -> int:
    name = type(dependency).__name__
    return AS_WRITTEN.index(name) if name in AS_WRITTEN else len(AS_WRITTEN)


BaseTIDep.__hash__ = _rank  # type: ignore[method-assign, assignment]

from airflow.serialization.definitions.baseoperator import DEFAULT_OPERATOR_DEPS  # noqa: E402  # made with these hashes

assert [_rank(dependency) for dependency in DEFAULT_OPERATOR_DEPS] == [0, 1, 2, 3, 4], "imported too late"
