"""Whether anybody serves a task queue. It must not know what is asked of the worker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from temporal_airflow.exceptions import NoWorkerError

PATIENCE = 3.0
"""Seconds for a worker to appear."""

LONGEST_POLL = timedelta(seconds=75)
"""A worker that hasn't asked for so long is gone."""

LOOK = 0.25
"""Seconds between two looks for it."""


async def has_worker(client: Client, task_queue: str) -> bool:
    """Whether a worker has asked for runs on a task queue in the last five minutes."""
    return bool(await _polled_at(client, task_queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW))


async def serves_tasks(client: Client, task_queue: str) -> bool:
    """Whether a worker asks for tasks on a task queue: it asks again after a minute at the latest."""
    asked = await _polled_at(client, task_queue, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
    return any(datetime.now(UTC) - moment < LONGEST_POLL for moment in asked)


async def _polled_at(client: Client, task_queue: str, kind: TaskQueueType.ValueType) -> list[datetime]:
    """When workers have asked last, those of the last five minutes."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
    )
    pollers = (await client.workflow_service.describe_task_queue(request)).pollers
    return [poller.last_access_time.ToDatetime(UTC) for poller in pollers]


async def wait_for_worker(client: Client, task_queue: str) -> None:
    """Wait a moment for a worker.

    Raises:
        NoWorkerError: if none comes.
    """
    for _ in range(round(PATIENCE / LOOK)):
        if await has_worker(client, task_queue):
            return
        await asyncio.sleep(LOOK)
    raise NoWorkerError(
        f"No worker serves task queue {task_queue!r} (waited {PATIENCE:g} s). "
        "Start one with `temporal-airflow worker --dags-folder FOLDER`."
    )
