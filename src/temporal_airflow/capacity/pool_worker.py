"""Serves the pools of a namespace. It must not know what a run is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.service import ServiceClient
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from temporal_airflow import identifiers
from temporal_airflow.capacity.holder_check import HolderCheck
from temporal_airflow.capacity.pool_client import PoolClient
from temporal_airflow.worker_patience import let_think
from temporal_airflow.workflows.keep_pool import KeepAirflowPoolWorkflow

STICKY_TIMEOUT = timedelta(seconds=1)
"""How long a pool waits for the worker that has it in memory: all runs that use it would wait with it."""

UNCACHED_WORKFLOW_TASKS = 1
"""How many workflow tasks at once a worker takes that keeps no workflow in memory: the SDK drops a workflow then
whenever another has done a step, and what that one was about to answer is lost until its workflow task times out."""

LEAVING = timedelta(seconds=1)
"""For what a worker does for pools when it stops; another one does it again."""


async def build_pool_worker(client: Client, max_cached_workflows: int) -> Worker:
    """The worker of all pools of a namespace: every worker serves them besides its own task queue.

    Args:
        client: connected to the server.
        max_cached_workflows: 0 for one that leaves soon, so that nothing waits for it.
    """
    client = await _connected_anew(client)
    worker = Worker(
        client,
        task_queue=identifiers.POOLS_TASK_QUEUE,
        workflows=[KeepAirflowPoolWorkflow],
        activities=[HolderCheck(client).look_at_airflow_runs, let_messages_gather],
        max_cached_workflows=max_cached_workflows,
        max_concurrent_workflow_tasks=None if max_cached_workflows else UNCACHED_WORKFLOW_TASKS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        graceful_shutdown_timeout=LEAVING,
    )
    return let_think(worker)


@asynccontextmanager
async def serving_pools(client: Client) -> AsyncIterator[PoolClient]:
    """Pools, served by this process too: there may be no worker yet."""
    async with await build_pool_worker(client, max_cached_workflows=0):
        yield PoolClient(client)


@activity.defn(name=identifiers.GATHER_ACTIVITY)
async def let_messages_gather(seconds: float) -> None:
    """A pause of a pool, during which its workflow task stays open."""
    await asyncio.sleep(seconds)


async def _connected_anew(client: Client) -> Client:
    """The same client on a connection of its own: the SDK takes one worker of a task queue on each."""
    service_client = await ServiceClient.connect(client.service_client.config)
    config = client.config()
    config["service_client"], config["plugins"] = service_client, []
    return Client(**config)
