"""Looks at runs that have slots of pools: whether they are still open, and move. It must not know what they have."""

from __future__ import annotations

import asyncio

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers
from temporal_airflow.models import HoldersInput, SlotHolder

LOOKS_AT_ONCE = 16
"""Runs that are asked for at once."""


class HolderCheck:
    """The activity of workers that serve pools."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=identifiers.HOLDERS_ACTIVITY)
    async def look_at_airflow_runs(self, given: HoldersInput) -> tuple[int | None, ...]:
        """How long the histories of runs are; None for those that have ended, however they did."""
        free = asyncio.Semaphore(LOOKS_AT_ONCE)

        async def look(holder: SlotHolder) -> int | None:
            async with free:
                return await self._look(holder)

        return tuple(await asyncio.gather(*map(look, given.holders)))

    async def _look(self, holder: SlotHolder) -> int | None:
        try:
            description = await self._client.get_workflow_handle(holder.workflow_id).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise
        first = description.raw_description.workflow_execution_info.first_run_id
        is_open = description.status == WorkflowExecutionStatus.RUNNING and first in {"", holder.first_run_id}
        return description.history_length if is_open else None
