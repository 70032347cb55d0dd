"""The same shapes written by hand for Temporal: empty async activities, nothing of Airflow, nothing of ours.

This is what the benchmark of runs is compared with, so it is frozen: its hash is checked before each benchmark and by a
test. A process of its own serves it: ``python handwritten.py ADDRESS NAMESPACE TASK_QUEUE``, which says ``ready``.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

TIMEOUT = timedelta(minutes=5)


@activity.defn
async def nothing(number: int) -> None:
    """Do nothing."""


@activity.defn
async def numbers(count: int) -> list[int]:
    """Give what to map over."""
    return list(range(count))


@workflow.defn
class Chain:
    """Activities one after the other."""

    @workflow.run
    async def run(self, count: int) -> None:
        """Run ``count`` activities."""
        for number in range(count):
            await workflow.execute_activity(nothing, number, start_to_close_timeout=TIMEOUT)


@workflow.defn
class Fan:
    """One activity, all but two at once, one."""

    @workflow.run
    async def run(self, count: int) -> None:
        """Run ``count`` activities."""
        await workflow.execute_activity(nothing, -1, start_to_close_timeout=TIMEOUT)
        middle = range(count - 2)
        await asyncio.gather(
            *(workflow.execute_activity(nothing, number, start_to_close_timeout=TIMEOUT) for number in middle)
        )
        await workflow.execute_activity(nothing, -2, start_to_close_timeout=TIMEOUT)


@workflow.defn
class Map:
    """An activity for each number that another one gives."""

    @workflow.run
    async def run(self, count: int) -> None:
        """Run ``count`` activities and the one before them."""
        given = await workflow.execute_activity(numbers, count, start_to_close_timeout=TIMEOUT)
        await asyncio.gather(
            *(workflow.execute_activity(nothing, number, start_to_close_timeout=TIMEOUT) for number in given)
        )


async def main(address: str, namespace: str, task_queue: str) -> None:
    """Serve until killed."""
    worker = Worker(
        await Client.connect(address, namespace=namespace),
        task_queue=task_queue,
        workflows=[Chain, Fan, Map],
        activities=[nothing, numbers],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=500,
        max_concurrent_activities=100,
    )
    async with worker:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
