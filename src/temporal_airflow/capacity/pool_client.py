"""Pools as users see them: list, get, set, delete. They are read without any worker, from the memos of their workflows.

It must not know runs, nor print anything.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers, near_names
from temporal_airflow.capacity.pool_memo import memo_of, pool_in
from temporal_airflow.exceptions import InputError, PoolNotFoundError
from temporal_airflow.models import PoolDefinition, PoolState, PoolStats

LONGEST_NAME = 256
"""Characters; Airflow's column has room for so many."""

UNSET_DEFAULT = PoolDefinition(name=identifiers.DEFAULT_POOL, slots=128, description="Default pool")
"""The pool that is there without anybody having set it, as Airflow makes it; it isn't enforced."""

TASK_TIMEOUT = timedelta(seconds=5)
"""After which a pool that loses its worker amid a workflow task goes on elsewhere; all who use it wait with it."""

STATS_PATIENCE = timedelta(seconds=2)
"""For a pool to say how it is used."""


class PoolClient:
    """Reads and changes pools of a namespace."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def all(self) -> list[PoolDefinition]:
        """Every pool, by name; the default pool is always there."""
        query = f'WorkflowType = "{identifiers.POOL_WORKFLOW_TYPE}" AND ExecutionStatus = "Running"'
        found = {UNSET_DEFAULT.name: UNSET_DEFAULT}
        async for execution in self._client.list_workflows(query):
            pool = pool_in(await execution.memo())
            if pool is not None and execution.id == identifiers.pool_workflow_id(pool.name):
                found[pool.name] = pool
        return [found[name] for name in sorted(found)]

    async def find(self, name: str) -> PoolDefinition | None:
        """A pool that a user has set; None if there is none."""
        handle = self._client.get_workflow_handle(identifiers.pool_workflow_id(name))
        try:
            description = await handle.describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise
        return pool_in(await description.memo()) if description.status == WorkflowExecutionStatus.RUNNING else None

    async def get(self, name: str) -> PoolDefinition:
        """A pool.

        Raises:
            PoolNotFoundError: if there is none.
        """
        pool = await self.find(name)
        if pool is None and name == UNSET_DEFAULT.name:
            return UNSET_DEFAULT
        if pool is None:
            known = [each.name for each in await self.all()]
            near = near_names.did_you_mean(name, known)
            raise PoolNotFoundError(f"Pool {name} does not exist{near}; there are: {near_names.listed(known)}.")
        return pool

    async def set(self, definition: PoolDefinition) -> None:
        """Make a pool, or set it anew; what a smaller pool is used beyond its size drains."""
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            identifiers.POOL_WORKFLOW_TYPE,
            PoolState(definition=definition),
            id=identifiers.pool_workflow_id(definition.name),
            task_queue=identifiers.POOLS_TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            task_timeout=TASK_TIMEOUT,
            memo=memo_of(definition),
            static_summary=f"pool {definition.name}",
        )
        await self._client.execute_update_with_start_workflow(
            identifiers.DEFINE_POOL_UPDATE, definition, start_workflow_operation=start
        )

    async def delete(self, name: str) -> None:
        """Delete a pool: tasks that run in it go on, those that wait for it wait until there is one again.

        Raises:
            InputError: if it is the default pool.
            PoolNotFoundError: if there is none.
        """
        if name == identifiers.DEFAULT_POOL:
            raise InputError(f"{name} cannot be deleted")
        await self.get(name)
        handle = self._client.get_workflow_handle(identifiers.pool_workflow_id(name))
        try:
            await handle.execute_update(identifiers.DELETE_POOL_UPDATE)
        except (WorkflowUpdateFailedError, RPCError) as error:
            if await self.find(name) is None:
                raise PoolNotFoundError(f"Pool {name} does not exist") from error
            raise

    async def stats(self, name: str) -> PoolStats | None:
        """How a pool is used; None if nobody answers."""
        handle = self._client.get_workflow_handle(identifiers.pool_workflow_id(name))
        try:
            stats: PoolStats = await handle.query("stats", result_type=PoolStats, rpc_timeout=STATS_PATIENCE)
        except RPCError:
            return None
        return stats


def checked(name: str, slots: object, description: str, *, include_deferred: bool = False) -> PoolDefinition:
    """A pool as somebody wants it, in the words of Airflow's own client where it can't be.

    Raises:
        InputError: saying why.
    """
    if not name.strip():
        raise InputError("Pool name shouldn't be empty")
    if len(name) > LONGEST_NAME:
        raise InputError(f"Pool name cannot be more than {LONGEST_NAME} characters")
    if isinstance(slots, bool) or not isinstance(slots, int | str):
        raise InputError(f"Invalid value for `slots`: {slots}")
    try:
        number = int(slots)
    except ValueError as error:
        raise InputError(f"Invalid value for `slots`: {slots}") from error
    if number < -1:
        raise InputError(f"Invalid value for `slots`: {slots}. -1 is without limit.")
    return PoolDefinition(name=name, slots=number, description=description, include_deferred=include_deferred)
