"""Lists runs from Temporal's visibility: latest first, open and closed. It must not act on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.utils.state import DagRunState
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus

from temporal_airflow import identifiers
from temporal_airflow.exceptions import DagRunNotFoundError
from temporal_airflow.run_reader import RunReader


@dataclass(frozen=True)
class ListedRun:
    """A line of ``list``."""

    workflow_id: str
    dag_id: str
    run_id: str
    state: DagRunState
    logical_date: datetime | None
    start_date: datetime
    end_date: datetime | None
    reason: str | None = None


async def list_runs(client: Client, reader: RunReader, dag_id: str | None, limit: int) -> AsyncIterator[ListedRun]:
    """Runs, latest start first.

    Args:
        client: connected to the server.
        reader: of the same server: closed runs are read for their state.
        dag_id: only of this DAG.
        limit: at most so many.
    """
    found = 0
    async for execution, memo in _of_dag(client, identifiers.runs_query(dag_id), dag_id):
        yield await _listed(reader, execution, memo)
        found += 1
        if found >= limit:
            return


async def open_runs(client: Client, dag_id: str) -> AsyncIterator[tuple[str, str]]:
    """Workflow id and run id of each open run of a DAG."""
    query = f'{identifiers.runs_query(dag_id)} AND ExecutionStatus = "Running"'
    async for execution, memo in _of_dag(client, query, dag_id):
        yield execution.id, str(memo.get("run_id"))


async def _of_dag(
    client: Client, query: str, dag_id: str | None
) -> AsyncIterator[tuple[WorkflowExecution, dict[str, Any]]]:
    async for execution in client.list_workflows(query):
        memo = dict(await execution.memo())
        if dag_id is None or memo.get("dag_id") == dag_id:
            yield execution, memo


async def _listed(reader: RunReader, execution: WorkflowExecution, memo: dict[str, Any]) -> ListedRun:
    state, reason = await _state_of(reader, execution)
    logical_date = memo.get("logical_date")
    return ListedRun(
        workflow_id=execution.id,
        dag_id=memo.get("dag_id") or "",
        run_id=memo.get("run_id") or "",
        state=state,
        logical_date=datetime.fromisoformat(logical_date) if logical_date else None,
        start_date=execution.start_time,
        end_date=execution.close_time,
        reason=reason,
    )


async def _state_of(reader: RunReader, execution: WorkflowExecution) -> tuple[DagRunState, str | None]:
    if execution.status == WorkflowExecutionStatus.RUNNING:
        return DagRunState.RUNNING, None
    try:
        result = await reader.result_if_closed(execution.id)
    except DagRunNotFoundError:
        return DagRunState.FAILED, f"workflow {execution.status.name.lower()}" if execution.status else None
    assert result is not None, "closed"
    return result.state, result.snapshot.reason
