"""Sends a person's answer to a run, which takes it or says why not.

The run itself looks at the answer, so that two people can't both be told that theirs counts. It must not know what an
answer means.
"""

from __future__ import annotations

import asyncio
import getpass

from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import FailureError
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers
from temporal_airflow.exceptions import InputError, NoWorkerError
from temporal_airflow.models import DagExecutionResult, InputResponse

RunHandle = WorkflowHandle[object, DagExecutionResult]

PATIENCE = 30.0
"""Seconds for a worker to take an answer: a busy one, or one that has to replay a long run."""


async def send(handle: RunHandle, response: InputResponse) -> None:
    """Send an answer; it has been taken when this returns.

    Raises:
        InputError: why the run doesn't take it.
        NoWorkerError: if no worker says anything.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            await handle.execute_update(identifiers.RESPOND_UPDATE, response)
    except WorkflowUpdateFailedError as error:
        raise InputError(error.cause.message if isinstance(error.cause, FailureError) else str(error.cause)) from error
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise NoWorkerError(
            f"No worker of run {handle.id!r} took the answer within {PATIENCE:g} s. It may still be taken: "
            "`temporal-airflow status` tells."
        ) from error
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise InputError(f"Run {handle.id!r} has ended: no task waits for an answer.") from error
        raise


def own_name() -> str:
    """Who answers if nobody says so: the user of this process.

    Raises:
        InputError: if the system knows no name.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise InputError("Say who answers: this process runs under no user's name.") from error
