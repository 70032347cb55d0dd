"""Ended runs that somebody wants something of: they go on from their result, under the same workflow id.

A result holds everything there is to know of a run, so neither its history nor a worker is needed to tell what an
action would do. It must not know what an action means.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle, WorkflowUpdateStage
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from temporal_airflow import identifiers, pausing
from temporal_airflow.engine.airflow_library import airflow_version, import_scheduling_code
from temporal_airflow.exceptions import InputError
from temporal_airflow.models import (
    ENGINE_EPOCH,
    ActionAnswer,
    DagExecutionInput,
    DagExecutionResult,
    RunAction,
    RunSnapshot,
)
from temporal_airflow.run_starting import WORKFLOW_TASK_TIMEOUT

if TYPE_CHECKING:
    from temporal_airflow.engine.dag_run_engine import DagRunEngine

START_ANEW = "start a new run instead"

RunHandle = WorkflowHandle[object, DagExecutionResult]


async def input_of(client: Client, handle: RunHandle, result: DagExecutionResult) -> DagExecutionInput:
    """What an ended run can go on with.

    Raises:
        InputError: why it can't.
    """
    if result.progress is None:
        raise InputError(
            f"Run {handle.id!r} can't go on: its result holds no snapshot of it, because it ended under an earlier "
            f"release or was too large; {START_ANEW}."
        )
    execution = await _first_input(client, handle)
    here, origin = (ENGINE_EPOCH, airflow_version()), (execution.engine_epoch, execution.airflow_version)
    if here != origin:
        raise InputError(
            f"Run {handle.id!r} can't go on: it ran with engine epoch {origin[0]} on Airflow {origin[1]}, and here is "
            f"epoch {here[0]} on Airflow {here[1]}; {START_ANEW}."
        )
    paused = await pausing.find_pause(client, execution.task_queue, execution.run.dag_id) is not None
    return execution.model_copy(update={"progress": _reopened(result, paused=paused)})


def preview(execution: DagExecutionInput, wanted: RunAction) -> ActionAnswer:
    """What an action would do to an ended run.

    Raises:
        InputError: why it can't be done.
    """
    now = datetime.now(UTC)
    engine = _restored(execution, now)
    try:
        if problem := engine.problem_with(wanted.action, now):
            raise InputError(problem)
        return engine.preview(wanted.action, now)
    finally:
        engine.dispose()


async def reopen(client: Client, handle: RunHandle, execution: DagExecutionInput, wanted: RunAction) -> ActionAnswer:
    """Let an ended run go on with an action; one that somebody else has opened again just now takes it, too."""
    description = await handle.describe()
    assert execution.progress is not None, "an ended run goes on from its result"
    begin: WithStartWorkflowOperation[object, DagExecutionResult] = WithStartWorkflowOperation(
        identifiers.WORKFLOW_TYPE,
        execution,
        id=handle.id,
        task_queue=execution.task_queue,
        task_timeout=WORKFLOW_TASK_TIMEOUT,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        memo={**await description.memo(), "started_at": execution.progress.started_at.isoformat()},
        search_attributes=description.typed_search_attributes,
        static_summary=f"{execution.run.dag_id} {execution.run.run_id}",
        static_details=f"Airflow DAG run, file {execution.definition.bundle.relative_fileloc}",
    )
    sent = await client.start_update_with_start_workflow(
        identifiers.ACT_UPDATE,
        wanted,
        start_workflow_operation=begin,
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
        result_type=ActionAnswer,
    )
    answer: ActionAnswer = await sent.result()
    return answer


def _restored(execution: DagExecutionInput, now: datetime) -> DagRunEngine:
    import_scheduling_code()
    from temporal_airflow.engine.dag_run_engine import DagRunEngine

    assert execution.progress is not None, "an ended run goes on from its result"
    snapshot = RunSnapshot.decompressed(execution.progress.compressed_snapshot)
    return DagRunEngine.restore(execution, snapshot, now)


def _reopened(result: DagExecutionResult, *, paused: bool) -> object:
    assert result.progress is not None, "looked at before"
    snapshot = RunSnapshot.decompressed(result.progress.compressed_snapshot)
    complete = snapshot.model_copy(update={"xcoms": result.xcoms, "task_states": result.task_states, "paused": paused})
    return result.progress.model_copy(update={"compressed_snapshot": complete.compressed(), "reopened": True})


async def _first_input(client: Client, handle: RunHandle) -> DagExecutionInput:
    """The input of the execution in which a run has ended: the first event of its history."""
    async for event in handle.fetch_history_events(page_size=1):
        payloads = event.workflow_execution_started_event_attributes.input.payloads
        [execution] = await client.data_converter.decode(payloads, [DagExecutionInput])
        return DagExecutionInput.model_validate(execution)
    raise InputError(f"The server has no history of run {handle.id!r} any more; {START_ANEW}.")
