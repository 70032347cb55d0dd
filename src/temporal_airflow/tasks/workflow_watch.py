"""Waits for the end of a workflow, however many executions it goes through. It must not know what the workflow is."""

from __future__ import annotations

import asyncio

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

LOOK = 5.0
"""Seconds between two looks: how long a task may go on whose run was terminated."""

GOING_ON = {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}


async def until_ended(client: Client, workflow_id: str) -> None:
    """Return when the server knows the workflow no more, or as ended."""
    while True:
        try:
            status = (await client.get_workflow_handle(workflow_id).describe()).status
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return
            raise
        if status not in GOING_ON:
            return
        await asyncio.sleep(LOOK)
