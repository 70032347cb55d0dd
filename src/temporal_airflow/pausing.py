"""Pauses a DAG, and finds out whether one is paused: for whoever starts runs or holds them.

A DAG is paused on a task queue for as long as a workflow is open whose id says so. Starting and ending that workflow
needs no worker, and whether it is open is known at once. It must not know what a run does when it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers, run_listing
from temporal_airflow.models import ActionAnswer, PausedDag, RunAction, SetPaused

TELLING_PATIENCE = 10.0
"""Seconds for the open runs to be told, of those who want to hear of it."""


@dataclass(frozen=True)
class Pause:
    """That a DAG is paused.

    Attributes:
        workflow_id: of the workflow that ends with the pause.
    """

    dag_id: str
    workflow_id: str
    user: str
    since: datetime


@dataclass(frozen=True)
class PauseOutcome:
    """What pausing a DAG has led to.

    Attributes:
        before: the pause that there was already.
        told: open runs that know; None if no worker has said so in time.
        elsewhere: how many open runs there are on task queues on which it isn't paused.
    """

    before: Pause | None = None
    told: tuple[str, ...] | None = ()
    elsewhere: Mapping[str, int] = field(default_factory=dict)


async def find_pause(client: Client, task_queue: str, dag_id: str) -> Pause | None:
    """Whether a DAG is paused on a task queue; None if it isn't."""
    workflow_id = identifiers.hold_workflow_id(task_queue, dag_id)
    try:
        description = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return None
        raise
    if description.status != WorkflowExecutionStatus.RUNNING:
        return None
    user = (await description.memo()).get("user", "")
    return Pause(dag_id, workflow_id, user, description.start_time)


async def pause(client: Client, paused: PausedDag) -> PauseOutcome:
    """Pause a DAG, and tell its open runs."""
    if not await _begin(client, paused):
        return PauseOutcome(before=await find_pause(client, paused.task_queue, paused.dag_id))
    told = await _told_runs(client, paused)
    return PauseOutcome(told=told, elsewhere=await _runs_elsewhere(client, paused))


async def _begin(client: Client, paused: PausedDag) -> bool:
    """Whether it wasn't paused before."""
    try:
        await client.start_workflow(
            identifiers.HOLD_WORKFLOW_TYPE,
            paused,
            id=identifiers.hold_workflow_id(paused.task_queue, paused.dag_id),
            task_queue=paused.task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            memo={"dag_id": paused.dag_id, "user": paused.user},
            static_summary=f"{paused.dag_id} is paused",
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def unpause(client: Client, task_queue: str, dag_id: str, user: str) -> bool:
    """Let a DAG's runs go on; whether it was paused."""
    handle = client.get_workflow_handle(identifiers.hold_workflow_id(task_queue, dag_id))
    try:
        await handle.terminate(reason=f"unpaused by {user}")
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def until_unpaused(client: Client, workflow_id: str) -> None:
    """Return when the workflow that a pause is has ended."""
    with contextlib.suppress(WorkflowFailureError):  # it was ended from outside, as it should be
        try:
            await client.get_workflow_handle(workflow_id).result()
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise


async def paused_dags(client: Client, task_queue: str) -> list[str]:
    """Ids of the DAGs that are paused on a task queue, as far as they are listed yet."""
    query = f'WorkflowType = "{identifiers.HOLD_WORKFLOW_TYPE}" AND ExecutionStatus = "Running"'
    found = [(each.task_queue, await each.memo()) async for each in client.list_workflows(query)]
    return [str(memo["dag_id"]) for queue, memo in found if queue == task_queue]


async def _told_runs(client: Client, paused: PausedDag) -> tuple[str, ...] | None:
    """The open runs that know that their DAG is paused; None if no worker says in time."""
    handle = client.get_workflow_handle(identifiers.hold_workflow_id(paused.task_queue, paused.dag_id))
    with contextlib.suppress(TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        async with asyncio.timeout(TELLING_PATIENCE):
            told: tuple[str, ...] = await handle.execute_update("told", result_type=tuple[str, ...])
            return told
    return None


async def tell_open_runs(client: Client, paused: PausedDag, update_id: str) -> tuple[str, ...]:
    """Tell the open runs of a paused DAG that don't know yet.

    Args:
        client: connected to the server.
        paused: the DAG, and who knows.
        update_id: the same for every try to tell them.

    Returns:
        The open runs that know now.
    """
    open_runs = [run async for run in run_listing.open_runs(client, paused.dag_id)]
    here = [run.workflow_id for run in open_runs if run.task_queue == paused.task_queue]
    await asyncio.gather(*(_tell(client, each, paused.user, update_id) for each in here if each not in paused.told))
    return tuple(here)


async def _runs_elsewhere(client: Client, paused: PausedDag) -> dict[str, int]:
    """How many open runs of a DAG are on other task queues, where it isn't paused."""
    counted: dict[str, int] = {}
    async for run in run_listing.open_runs(client, paused.dag_id):
        if run.task_queue != paused.task_queue:
            counted[run.task_queue] = counted.get(run.task_queue, 0) + 1
    return counted


async def _tell(client: Client, workflow_id: str, user: str, update_id: str) -> None:
    wanted = RunAction(action=SetPaused(kind="pause", paused=True), user=user)
    handle = client.get_workflow_handle(workflow_id)
    try:
        await handle.execute_update(identifiers.ACT_UPDATE, wanted, id=update_id, result_type=ActionAnswer)
    except WorkflowUpdateFailedError:
        pass  # it has ended meanwhile, and starts nothing
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
