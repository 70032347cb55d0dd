"""How long a DAG's latest successful runs took, read from their results when a run is submitted.

Only runs whose deadlines are measured by an average need it. It must not know what becomes of the average.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from airflow.utils.state import DagRunState
from temporalio.client import Client

from temporal_airflow import run_listing
from temporal_airflow.exceptions import DagRunNotFoundError
from temporal_airflow.models import DagExecutionResult, DeadlineAlert, EarlierRun
from temporal_airflow.run_reader import RunReader

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


async def for_deadlines(client: Client, dag_id: str, deadlines: Iterable[DeadlineAlert]) -> tuple[EarlierRun, ...]:
    """As many of the DAG's latest successful runs, by logical date, as the deadlines ask for; often none."""
    wanted = max((alert.reference.get("max_runs") or 0 for alert in deadlines), default=0)
    if not wanted:
        return ()
    reader = RunReader(client)
    found: list[EarlierRun] = []
    closed = [each async for each in run_listing.completed_runs(client, dag_id)]
    for _, workflow_id in sorted(closed, key=lambda run: run[0] or _LONG_AGO, reverse=True):
        if run := await _if_successful(reader, workflow_id):
            found.append(run)
        if len(found) == wanted:
            break
    return tuple(found)


async def _if_successful(reader: RunReader, workflow_id: str) -> EarlierRun | None:
    try:
        result: DagExecutionResult | None = await reader.result_if_closed(workflow_id)
    except DagRunNotFoundError:
        return None
    if result is None or result.state != DagRunState.SUCCESS:
        return None
    run = result.snapshot
    if run.start_date is None or run.end_date is None:
        return None
    return EarlierRun(logical_date=run.run.logical_date, start_date=run.start_date, end_date=run.end_date)
