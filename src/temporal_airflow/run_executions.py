"""Finds the workflow executions of runs: of each run one, however often it has gone on in a new execution.

The server lists executions a moment late and each for itself. It must not know what a run is doing.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus

from temporal_airflow import identifiers

LISTED_WITHIN = timedelta(minutes=1)
"""How soon the server lists a new execution; until then the one before it stands for the run."""

OPEN = "Running"
"""The state of open runs, in Temporal's words."""

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


async def run_executions(
    client: Client, dag_id: str | None = None, status: str | None = None
) -> AsyncIterator[RunExecution]:
    """The executions of runs, latest start of a run first.

    Args:
        client: connected to the server.
        dag_id: only of this DAG.
        status: only of runs in this state, in Temporal's words.
    """
    waiting: list[RunExecution] = []
    seen: set[str] = set()
    async for listed in client.list_workflows(_query(dag_id, status)):
        while waiting and waiting[0].started_at >= listed.start_time:
            yield heapq.heappop(waiting)
        if listed.id in seen:
            continue
        seen.add(listed.id)
        execution = listed
        if listed.status == CONTINUED:
            execution = await client.get_workflow_handle(listed.id).describe()
        found = await _found(execution)
        of_dag = dag_id is None or found.memo.get("dag_id") == dag_id
        if of_dag and (status is None or (execution.status is not None and execution.status.name == status.upper())):
            heapq.heappush(waiting, found)
    while waiting:
        yield heapq.heappop(waiting)


async def _found(execution: WorkflowExecution) -> RunExecution:
    memo = dict(await execution.memo())
    started_at = datetime.fromisoformat(memo["started_at"]) if "started_at" in memo else execution.start_time
    return RunExecution(-started_at.timestamp(), started_at, execution, memo)


def _query(dag_id: str | None, status: str | None) -> str:
    since = (datetime.now(UTC) - LISTED_WITHIN).isoformat()
    if status != OPEN:  # an ended run may have been opened again: its latest execution tells
        status = None
    wanted = f'ExecutionStatus = "{status}"' if status else 'ExecutionStatus != "ContinuedAsNew"'
    lately = f'ExecutionStatus = "ContinuedAsNew" AND CloseTime > "{since}"'
    return f"{identifiers.runs_query(dag_id)} AND ({wanted} OR ({lately}))"
