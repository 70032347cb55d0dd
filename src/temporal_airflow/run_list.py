"""Lists runs for people and programs: latest first, open and closed, with what became of them.

The server tells the states of runs that have our search attributes. Of others each has to be looked at: so no more than
a bounded number of runs is considered, and the list says if there were more. It must not act on runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from airflow.utils.state import DagRunState
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus

from temporal_airflow import identifiers, search_attributes
from temporal_airflow.exceptions import DagRunNotFoundError
from temporal_airflow.run_executions import RunExecution, wanted_executions
from temporal_airflow.run_filters import RunFilter
from temporal_airflow.run_reader import RunReader

MOST_CONSIDERED = 1000
"""Runs that are considered for one list: the open ones first, then those that ended last."""

MOST_KNOWN = 200
"""Runs among which a name is looked for that is nearly the one asked for."""

READS_AT_ONCE = 16
"""Runs that are read at once."""


@dataclass(frozen=True)
class ListedRun:
    """A line of ``list``.

    Attributes:
        reason: why the run ended so, if that isn't plain.
    """

    workflow_id: str
    dag_id: str
    run_id: str
    run_type: str
    state: DagRunState
    logical_date: datetime | None
    start_date: datetime
    end_date: datetime | None
    reason: str | None = None


@dataclass(frozen=True)
class RunList:
    """Runs, latest start first.

    Attributes:
        more: whether there are more that were asked for.
        overlooked: whether there are so many runs that not all of them were considered.
    """

    runs: tuple[ListedRun, ...]
    more: bool = False
    overlooked: bool = False


async def list_runs(client: Client, reader: RunReader, wanted: RunFilter, limit: int) -> RunList:
    """List runs.

    Args:
        client: connected to the server.
        reader: of the same server, for what it can't tell of a run.
        wanted: which runs.
        limit: how many at most.
    """
    by_attributes = await search_attributes.exist(client)
    considered: list[RunExecution] = []
    overlooked = False
    async for run in wanted_executions(client, wanted, by_attributes=by_attributes):
        if overlooked := len(considered) == MOST_CONSIDERED:
            break
        considered.append(run)
    waiting, found = iter(sorted(considered)), list[ListedRun]()
    while len(found) <= limit and (some := list(islice(waiting, min(READS_AT_ONCE, limit + 1)))):
        found += await _listed(client, reader, some, wanted)
    return RunList(tuple(found[:limit]), more=len(found) > limit, overlooked=overlooked)


async def known_runs(client: Client) -> list[tuple[str, str]]:
    """DAG id and run id of the runs that somebody who misspells one is likely to mean."""
    known: list[tuple[str, str]] = []
    async for run in wanted_executions(client, RunFilter()):
        known.append((str(run.memo.get("dag_id")), str(run.memo.get("run_id"))))
        if len(known) == MOST_KNOWN:
            break
    return known


async def _listed(
    client: Client, reader: RunReader, runs: Sequence[RunExecution], wanted: RunFilter
) -> Iterator[ListedRun]:
    """Those of some runs that are in a state that is wanted."""
    if wanted.states:
        runs = await asyncio.gather(*(_as_it_is_now(client, run) for run in runs))
    states = await asyncio.gather(*(_state_of(client, reader, run.execution) for run in runs))
    return (
        _line(run, state, reason)
        for run, (state, reason) in zip(runs, states, strict=True)
        if not wanted.states or state in wanted.states
    )


async def _as_it_is_now(client: Client, run: RunExecution) -> RunExecution:
    """A run in its latest execution: one that ended may have been opened again, and be in another state by now."""
    if run.execution.status == WorkflowExecutionStatus.RUNNING:
        return run
    return replace(run, execution=await client.get_workflow_handle(run.execution.id).describe())


def _line(run: RunExecution, state: DagRunState, reason: str | None) -> ListedRun:
    logical_date = run.memo.get("logical_date")
    return ListedRun(
        workflow_id=run.execution.id,
        dag_id=run.memo.get("dag_id") or "",
        run_id=run.memo.get("run_id") or "",
        run_type=run.memo.get("run_type") or "",
        state=state,
        logical_date=datetime.fromisoformat(logical_date) if logical_date else None,
        start_date=run.started_at,
        end_date=run.execution.close_time,
        reason=reason,
    )


async def _state_of(client: Client, reader: RunReader, execution: WorkflowExecution) -> tuple[DagRunState, str | None]:
    said = search_attributes.state_of(execution)
    match execution.status:
        case WorkflowExecutionStatus.RUNNING:
            return said or await _state_of_open(client, execution.id), None
        case WorkflowExecutionStatus.COMPLETED if said == DagRunState.SUCCESS and await _is_latest(client, execution):
            return said, None
        case WorkflowExecutionStatus.COMPLETED:
            return await _state_of_closed(reader, execution.id)
        case status:
            return DagRunState.FAILED, f"workflow {status.name.lower()}" if status else None


async def _is_latest(client: Client, execution: WorkflowExecution) -> bool:
    """Whether a run has ended in this execution for good: it may have been cleared since."""
    return (await client.get_workflow_handle(execution.id).describe()).run_id == execution.run_id


async def _state_of_open(client: Client, workflow_id: str) -> DagRunState:
    """What an open run's workflow tells of its state without being asked: one that waits for its turn is queued."""
    description = await client.get_workflow_handle(workflow_id).describe()
    waits = any(
        pending.activity_type.name == identifiers.TURN_ACTIVITY
        for pending in description.raw_description.pending_activities
    )
    return DagRunState.QUEUED if waits else DagRunState.RUNNING


async def _state_of_closed(reader: RunReader, workflow_id: str) -> tuple[DagRunState, str | None]:
    try:
        result = await reader.result_if_closed(workflow_id)
    except DagRunNotFoundError:
        return DagRunState.FAILED, "workflow ended from outside"
    if result is None:  # it has been cleared since
        return DagRunState.RUNNING, None
    return result.state, result.snapshot.reason
