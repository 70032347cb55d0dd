"""Finds runs that are not open any more, for pools whose slots they have. It must not know what they have."""

from __future__ import annotations

import asyncio

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers
from temporal_airflow.models import ClosedHoldersInput, SlotHolder

LOOKS_AT_ONCE = 16
"""Runs that are asked for at once."""


class HolderCheck:
    """The activity of workers that serve pools."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=identifiers.CLOSED_HOLDERS_ACTIVITY)
    async def find_closed_airflow_runs(self, given: ClosedHoldersInput) -> tuple[SlotHolder, ...]:
        """Those of the runs that have ended, however they did."""
        free = asyncio.Semaphore(LOOKS_AT_ONCE)

        async def is_open(holder: SlotHolder) -> bool:
            async with free:
                return await self._is_open(holder)

        answers = await asyncio.gather(*map(is_open, given.holders))
        return tuple(holder for holder, is_open in zip(given.holders, answers, strict=True) if not is_open)

    async def _is_open(self, holder: SlotHolder) -> bool:
        try:
            description = await self._client.get_workflow_handle(holder.workflow_id).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return False
            raise
        first = description.raw_description.workflow_execution_info.first_run_id
        return description.status == WorkflowExecutionStatus.RUNNING and first in {"", holder.first_run_id}
