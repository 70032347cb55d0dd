"""The numbers of pools that tasks of a run wait for: a run knows that it got no slot, only the pool knows why.

It completes a record for people, and must not act on anything.
"""

from __future__ import annotations

import asyncio

from temporalio.client import Client

from temporal_airflow.capacity.pool_client import PoolClient
from temporal_airflow.models import DagRunRecord, PoolStats, TaskInstanceRecord


async def with_numbers(client: Client, record: DagRunRecord) -> DagRunRecord:
    """A record whose task instances say how full the pool is that they wait for.

    Args:
        client: connected to the server.
        record: as the run tells it.
    """
    wanted = sorted({ti.awaited_pool for ti in record.task_instances if ti.awaited_pool})
    if not wanted:
        return record
    pools = PoolClient(client)
    stats = dict(zip(wanted, await asyncio.gather(*map(pools.stats, wanted)), strict=True))
    task_instances = tuple(_numbered(ti, stats.get(ti.awaited_pool or "")) for ti in record.task_instances)
    return record.model_copy(update={"task_instances": task_instances})


def _numbered(ti: TaskInstanceRecord, stats: PoolStats | None) -> TaskInstanceRecord:
    """The words of Airflow's ``PoolSlotsAvailableDep``, and what the slots are used for."""
    if stats is None or stats.open is None:
        return ti
    reason = (
        f"Not scheduling since there are {stats.open} open slots in pool {ti.awaited_pool} and require "
        f"{ti.awaited_slots} pool slots ({stats.running} are used, {stats.waiting} asked for)"
    )
    return ti.model_copy(update={"waits_for": reason})
