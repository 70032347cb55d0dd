"""Does things to runs: brings what somebody wants to a run, open or ended, which does it or says why not.

The run itself looks at it, so that two people who act at once each get a definite answer. It must not know what an
action means.
"""

from __future__ import annotations

import asyncio

from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import ended_runs, identifiers
from temporal_airflow.exceptions import DagRunNotFoundError, InputError, NoWorkerError
from temporal_airflow.models import ActionAnswer, DagExecutionResult, RunAction
from temporal_airflow.run_reader import RunReader, is_unanswered

RunHandle = WorkflowHandle[object, DagExecutionResult]

PATIENCE = 90.0
"""Seconds for a worker to do what is wanted: more than until another one steps in for one that was killed."""

OVERTAKEN = 5
"""How often a run may end, or be opened again, while something is on its way to it."""


class RunActions:
    """Acts on runs of one server."""

    def __init__(self, client: Client, reader: RunReader) -> None:
        self._client = client
        self._reader = reader

    async def act(self, workflow_id: str, wanted: RunAction) -> ActionAnswer:
        """Do something to a run; it has been done when this returns.

        Raises:
            InputError: why the run doesn't do it.
            NoWorkerError: if no worker says anything.
        """
        handle = self._handle(workflow_id)
        for _ in range(OVERTAKEN):
            result = await self._result_if_ended(workflow_id)
            try:
                async with asyncio.timeout(PATIENCE):
                    if result is not None:
                        execution = await ended_runs.input_of(self._client, handle, result)
                        ended_runs.preview(execution, wanted)
                        return await ended_runs.reopen(self._client, handle, execution, wanted)
                    answer: ActionAnswer = await handle.execute_update(
                        identifiers.ACT_UPDATE, wanted, result_type=ActionAnswer
                    )
                    return answer
            except WorkflowUpdateFailedError as error:
                if not _has_ended(error):
                    raise InputError(_reason(error)) from error
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
            except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
                raise NoWorkerError(
                    f"No worker of run {workflow_id!r} did it within {PATIENCE:g} s. It may still be done: "
                    "`temporal-airflow status` tells."
                ) from error
        raise InputError(f"Run {workflow_id!r} ends whenever something is wanted of it; try again.")

    async def preview(self, workflow_id: str, wanted: RunAction) -> ActionAnswer:
        """What would be done to a run.

        Raises:
            InputError: why it would be refused.
            NoWorkerError: if no worker of an open run says anything.
        """
        handle = self._handle(workflow_id)
        result = await self._result_if_ended(workflow_id)
        if result is not None:
            return ended_runs.preview(await ended_runs.input_of(self._client, handle, result), wanted)
        try:
            answer: ActionAnswer = await handle.query(identifiers.PREVIEW_QUERY, wanted, result_type=ActionAnswer)
        except WorkflowQueryFailedError as error:
            raise InputError(str(error)) from error
        except RPCError as error:
            if is_unanswered(error):
                raise NoWorkerError(f"No worker of run {workflow_id!r} answers.") from error
            raise
        return answer

    async def _result_if_ended(self, workflow_id: str) -> DagExecutionResult | None:
        try:
            return await self._reader.result_if_closed(workflow_id)
        except DagRunNotFoundError as error:
            raise InputError(f"{error} It can't go on; {ended_runs.START_ANEW}.") from error

    def _handle(self, workflow_id: str) -> RunHandle:
        return self._client.get_workflow_handle(workflow_id, result_type=DagExecutionResult)


def _has_ended(error: WorkflowUpdateFailedError) -> bool:
    """Whether the run ended before it could take an update that it had accepted."""
    cause = error.cause
    return isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow"


def _reason(error: WorkflowUpdateFailedError) -> str:
    return error.cause.message if isinstance(error.cause, FailureError) else str(error.cause)
