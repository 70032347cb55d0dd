"""Starts a run as a workflow. Who may start it, and when, is settled before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.utils.state import DagRunState
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import earlier_runs, identifiers, pausing, search_attributes
from temporal_airflow.capacity.submission import shared_limits
from temporal_airflow.exceptions import InputError
from temporal_airflow.models import ENGINE_EPOCH, DagExecutionInput, LoadedDag, Routing

WORKFLOW_TASK_TIMEOUT = timedelta(seconds=60)
"""A cold worker imports Airflow and replays within one workflow task; Temporal's default of 10 s would live-lock."""


async def start_run(
    client: Client,
    loaded: LoadedDag,
    routing: Routing,
    starter: dict[str, str] | None = None,
    *,
    queued: bool = False,
) -> None:
    """Start a run.

    Args:
        client: connected to the server.
        loaded: the DAG and the run, validated.
        routing: where its workers are.
        starter: what its memo says of the task that started it.
        queued: whether it has to wait for its turn.

    Raises:
        WorkflowAlreadyStartedError: if there is such a run, open or closed.
        InputError: if the server can't take it, or it needs a pool that there isn't.
    """
    run, definition = loaded.run, loaded.definition
    paused = await pausing.find_pause(client, routing.task_queue, run.dag_id) is not None
    execution = DagExecutionInput(
        schema_version=1,
        engine_epoch=ENGINE_EPOCH,
        airflow_version=loaded.airflow_version,
        definition=definition,
        run=run,
        task_queue=routing.task_queue,
        route_queues=routing.route_queues,
        task_queues=routing.task_queues,
        limits=loaded.limits,
        **({"queued": True} if queued else {}),
        **({"paused": True} if paused else {}),
        queued_at=datetime.now(UTC),
        deadlines=loaded.deadlines,
        mutated=loaded.mutated,
        listened_states=loaded.listened_states,
        shared_limits=await shared_limits(client, loaded),
        earlier_runs=await earlier_runs.for_deadlines(client, run.dag_id, loaded.deadlines),
    )
    state = DagRunState.QUEUED if queued else DagRunState.RUNNING
    listed_by = search_attributes.of_run(run, state) if await search_attributes.exist(client) else None
    try:
        await client.start_workflow(
            identifiers.WORKFLOW_TYPE,
            execution,
            id=identifiers.workflow_id(run.dag_id, run.run_id),
            task_queue=routing.task_queue,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            memo=_memo(loaded) | (starter or {}),
            search_attributes=listed_by,
            static_summary=f"{run.dag_id} {run.run_id}",
            static_details=f"Airflow DAG run, file {definition.bundle.relative_fileloc}",
        )
    except RPCError as error:
        if error.status in {RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.RESOURCE_EXHAUSTED}:
            raise InputError(f"The server refused the run of DAG {run.dag_id!r}: {error.message}") from error
        raise


def _memo(loaded: LoadedDag) -> dict[str, str | None]:
    run = loaded.run
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "run_type": run.run_type.value,
        "logical_date": run.logical_date.isoformat() if run.logical_date else None,
        "run_after": run.run_after.isoformat(),
        "airflow_version": loaded.airflow_version,
    }
