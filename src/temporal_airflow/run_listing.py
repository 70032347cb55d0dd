"""Finds the runs of a DAG in Temporal's visibility, for whoever has to know of others. It must not act on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers
from temporal_airflow.exceptions import DagRunNotFoundError
from temporal_airflow.models import DagRunRecord
from temporal_airflow.run_executions import run_executions
from temporal_airflow.run_reader import RunReader

READS_AT_ONCE = 16
"""Runs that are read at once."""


@dataclass(frozen=True)
class OpenRun:
    """A run that has not ended.

    Attributes:
        due: the moment before which it doesn't start.
    """

    workflow_id: str
    run_id: str
    started_at: datetime
    due: datetime
    task_queue: str


async def open_runs(client: Client, dag_id: str) -> AsyncIterator[OpenRun]:
    """The open runs of a DAG."""
    async for run in run_executions(client, dag_id, "Running"):
        _, due = _dates(run.memo, run.started_at)
        yield OpenRun(run.execution.id, str(run.memo.get("run_id")), run.started_at, due, run.execution.task_queue)


async def runs_at(client: Client, dag_id: str, logical_dates: Collection[datetime]) -> AsyncIterator[str]:
    """Workflow id of each run of a DAG at one of these logical dates."""
    async for run in run_executions(client, dag_id):
        logical_date = run.memo.get("logical_date")
        if logical_date and datetime.fromisoformat(logical_date) in logical_dates:
            yield run.execution.id


async def runs_until(client: Client, dag_id: str, run_id: str) -> list[str]:
    """A run and those of its DAG whose date isn't later, as ``XComModel.get_many`` takes prior dates.

    Airflow's order in PostgreSQL: runs without logical date first, then the latest.

    Returns:
        Run ids; none if there is no such run.
    """
    dates: dict[str, tuple[datetime | None, datetime]] = {}
    async for run in run_executions(client, dag_id):
        dates[str(run.memo.get("run_id"))] = _dates(run.memo, run.started_at)
    if run_id not in dates:  # perhaps it is so new that it isn't listed yet
        try:
            description = await client.get_workflow_handle(identifiers.workflow_id(dag_id, run_id)).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return []
            raise
        dates[run_id] = _dates(await description.memo(), description.start_time)
    own_date = _date(dates[run_id])
    until = [name for name, each in dates.items() if _date(each) <= own_date]
    return sorted(until, key=lambda name: (dates[name][0] is None, _date(dates[name])), reverse=True)


def _dates(memo: Mapping[str, Any], started_at: datetime) -> tuple[datetime | None, datetime]:
    """A run's logical date, and the moment after which it might start."""
    logical_date, run_after = (memo.get(name) for name in ("logical_date", "run_after"))
    return (
        datetime.fromisoformat(logical_date) if logical_date else None,
        datetime.fromisoformat(run_after) if run_after else started_at,
    )


def _date(dates: tuple[datetime | None, datetime]) -> datetime:
    return dates[0] or dates[1]


async def records_of(
    client: Client, reader: RunReader, dag_id: str, logical_dates: Collection[datetime] | None
) -> list[DagRunRecord]:
    """The runs of a DAG with their task instances, latest start first.

    Args:
        client: connected to the server.
        reader: of the same server.
        dag_id: the DAG.
        logical_dates: only runs at one of these; None takes all.
    """
    if logical_dates is None:
        ids = [run.execution.id async for run in run_executions(client, dag_id)]
    else:
        ids = [workflow_id async for workflow_id in runs_at(client, dag_id, logical_dates)]
    free = asyncio.Semaphore(READS_AT_ONCE)

    async def read(workflow_id: str) -> DagRunRecord | None:
        async with free:
            with contextlib.suppress(DagRunNotFoundError):  # ended from outside: it has left nothing
                return await reader.record(workflow_id)
        return None

    return [record for record in await asyncio.gather(*map(read, ids)) if record is not None]


async def completed_runs(client: Client, dag_id: str) -> AsyncIterator[tuple[datetime | None, str]]:
    """Logical date and workflow id of each run of a DAG that left a result, in no order."""
    async for run in run_executions(client, dag_id, "Completed"):
        logical_date = run.memo.get("logical_date")
        yield datetime.fromisoformat(logical_date) if logical_date else None, run.execution.id
