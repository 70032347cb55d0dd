"""Finds the workflow executions of runs: of each run one, however often it has gone on in a new execution.

The server lists executions a moment late and each for itself. It must not know what a run is doing.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus

from temporal_airflow.run_filters import RunFilter

CONTINUED = WorkflowExecutionStatus.CONTINUED_AS_NEW


@dataclass(frozen=True, order=True)
class RunExecution:
    """The execution that a run is in, or has ended in.

    Attributes:
        rank: orders by the start of runs, latest first.
        started_at: when the run's first execution was started.
    """

    rank: float
    started_at: datetime = field(compare=False)
    execution: WorkflowExecution = field(compare=False)
    memo: dict[str, Any] = field(compare=False)


def run_executions(client: Client, dag_id: str | None = None, status: str | None = None) -> AsyncIterator[RunExecution]:
    """The executions of runs, latest start of a run first.

    Args:
        client: connected to the server.
        dag_id: only of this DAG.
        status: only of runs in this state, in Temporal's words.
    """
    return wanted_executions(client, RunFilter(dag_id, status))


async def wanted_executions(
    client: Client, wanted: RunFilter, *, by_attributes: bool = False
) -> AsyncIterator[RunExecution]:
    """The executions of runs, open ones first, then those that ended last.

    Args:
        client: connected to the server.
        wanted: which runs; their states are not looked at, beyond what the server says of them.
        by_attributes: whether the namespace has our search attributes.
    """
    waiting: list[RunExecution] = []
    seen: set[str] = set()
    async for listed in client.list_workflows(wanted.query(by_attributes=by_attributes)):
        while waiting and waiting[0].started_at >= listed.start_time:
            yield heapq.heappop(waiting)
        if listed.id in seen:
            continue
        seen.add(listed.id)
        execution = listed
        if listed.status == CONTINUED:
            execution = await client.get_workflow_handle(listed.id).describe()
        found = await _found(execution)
        if _is_wanted(found, wanted):
            heapq.heappush(waiting, found)
    while waiting:
        yield heapq.heappop(waiting)


async def _found(execution: WorkflowExecution) -> RunExecution:
    memo = dict(await execution.memo())
    started_at = datetime.fromisoformat(memo["started_at"]) if "started_at" in memo else execution.start_time
    return RunExecution(-started_at.timestamp(), started_at, execution, memo)


def _is_wanted(run: RunExecution, wanted: RunFilter) -> bool:
    status = run.execution.status
    of_dag = wanted.dag_id is None or run.memo.get("dag_id") == wanted.dag_id
    in_status = wanted.status is None or (status is not None and status.name == wanted.status.upper())
    return of_dag and in_status and (wanted.since is None or run.started_at >= wanted.since)
