"""Which limits across runs a new run has to keep: looked up once, when it is submitted. It must not start the run."""

from __future__ import annotations

import asyncio

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from temporal_airflow import identifiers, near_names
from temporal_airflow.capacity.pool_client import TASK_TIMEOUT, PoolClient
from temporal_airflow.capacity.slot_book import UNLIMITED
from temporal_airflow.exceptions import InputError
from temporal_airflow.models import LoadedDag, PoolDefinition, PoolState, SharedLimits


async def shared_limits(client: Client, loaded: LoadedDag) -> SharedLimits | None:
    """What a run shares with others; None if nothing. Whoever keeps it is there when this returns.

    Raises:
        InputError: if a pool that a task names doesn't exist, or is too small for it.
    """
    definition, parallelism = loaded.definition, loaded.limits.parallelism
    pools = await _enforced_pools(PoolClient(client), loaded)
    keepers = {
        identifiers.task_limit_workflow_id(definition.dag_id, task_id): size
        for task_id, size in definition.tasks_limited.items()
    }
    if parallelism is not None:
        keepers[identifiers.PARALLELISM_WORKFLOW_ID] = parallelism
    await asyncio.gather(*(_keep(client, keeper, size) for keeper, size in keepers.items()))
    if not pools and not keepers:
        return None
    return SharedLimits(pools=pools, tasks=definition.tasks_limited, parallelism=parallelism)


async def _enforced_pools(client: PoolClient, loaded: LoadedDag) -> tuple[str, ...]:
    names = sorted(loaded.definition.pools)
    found = dict(zip(names, await asyncio.gather(*map(client.find, names)), strict=True))
    missing = [name for name, pool in found.items() if pool is None and name != identifiers.DEFAULT_POOL]
    if missing:
        raise InputError(_unknown(loaded.definition.dag_id, missing, [pool.name for pool in await client.all()]))
    pools = [pool for pool in found.values() if pool is not None]
    for pool in pools:
        _check_size(pool, loaded)
    return tuple(pool.name for pool in pools if pool.name != identifiers.DEFAULT_POOL or pool.slots != UNLIMITED)


def _unknown(dag_id: str, missing: list[str], known: list[str]) -> str:
    return (
        near_names.absence(f"DAG {dag_id!r} uses a pool that does not exist:", missing[0], known)
        + f" Make it with `temporal-airflow pools set {missing[0]} SLOTS DESCRIPTION`."
    )


def _check_size(pool: PoolDefinition, loaded: LoadedDag) -> None:
    most = loaded.definition.pools[pool.name]
    if pool.slots != UNLIMITED and most > pool.slots:
        raise InputError(
            f"A task of DAG {loaded.definition.dag_id!r} needs pool_slots={most}, and pool {pool.name!r} has "
            f"{pool.slots} slots: it would wait for ever. Lower pool_slots, or make the pool larger with "
            f"`temporal-airflow pools set`."
        )


async def _keep(client: Client, keeper: str, size: int) -> None:
    """Have somebody keep a limit that no user has set; how large it is, runs say."""
    await client.start_workflow(
        identifiers.POOL_WORKFLOW_TYPE,
        PoolState(definition=PoolDefinition(name=keeper, slots=size)),
        id=keeper,
        task_queue=identifiers.POOLS_TASK_QUEUE,
        task_timeout=TASK_TIMEOUT,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
