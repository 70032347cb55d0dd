"""Builds and runs a worker: workflows, activities and the processes that run user code, tuned together.

It must not know how a run is started or shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from temporal_airflow import identifiers
from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.exceptions import ServerError
from temporal_airflow.settings import Settings
from temporal_airflow.tasks.activity import TaskActivities
from temporal_airflow.tasks.slots import ProcessTemplate, SlotPool

WORKFLOW_TASKS = 2
"""Concurrent workflow tasks: Python runs one at a time, and the SDK's 2 s deadlock detector counts waiting too."""

STICKY_TIMEOUT = timedelta(seconds=3)
"""How long a run waits for the worker that has it in memory before any worker may take it: the SDK's 10 s would be
added to every recovery from a lost worker."""

HEARTBEAT_INTERVAL = timedelta(seconds=1)
"""How soon a cancellation reaches a task: it travels on the answer to a heartbeat."""


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker serves.

    Attributes:
        task_queue: of workflows, and of tasks in Airflow's default queue.
        queues: further Airflow queues whose tasks it runs.
        concurrency: most tasks at once.
        drain_timeout: seconds that a stopping worker waits for running tasks.
        max_cached_workflows: runs kept in memory; 0 replays a run at each of its steps.
    """

    task_queue: str
    queues: tuple[str, ...] = ()
    concurrency: int = 16
    drain_timeout: float = 300.0
    max_cached_workflows: int = 500


def workflow_classes() -> Sequence[type]:
    """The workflows of this package; imports Airflow's scheduling code first."""
    import_scheduling_code()
    from temporal_airflow.workflows.dag_run import ExecuteAirflowDagWorkflow
    from temporal_airflow.workflows.load_dag import LoadAirflowDagWorkflow

    return (ExecuteAirflowDagWorkflow, LoadAirflowDagWorkflow)


class RunningWorker:
    """A worker at work."""

    def __init__(self, workers: Iterable[Worker], pool: SlotPool) -> None:
        self._workers = tuple(workers)
        self._pool = pool

    async def drain(self) -> None:
        """Take no new tasks and wait for the running ones, up to the drain timeout; then they are stopped."""
        await asyncio.gather(*(worker.shutdown() for worker in self._workers))

    async def kill_tasks(self) -> None:
        """End every running task now; each counts as a lost attempt and is run again by another worker."""
        await self._pool.close()


@asynccontextmanager
async def run_worker(
    client: Client, template: ProcessTemplate, options: WorkerOptions, settings: Settings
) -> AsyncIterator[RunningWorker]:
    """Serve runs and tasks for as long as the block runs.

    Args:
        client: connected to the server.
        template: the process that task processes are forked from.
        options: what to serve.
        settings: where large XComs go.

    Raises:
        ServerError: if the server stops talking to the worker for good.
    """
    settings.make_data_folder()
    pool = SlotPool(template, maximum=options.concurrency)
    activities = TaskActivities(client, settings.large_xcom_path)
    workers = _build_workers(client, options, activities)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(activities.on(pool))
        for worker in workers:
            try:
                await stack.enter_async_context(worker)
            except RuntimeError as error:
                raise ServerError(f"The Temporal server refused the worker: {error}") from error
        yield RunningWorker(workers, pool)


def _build_workers(client: Client, options: WorkerOptions, activities: TaskActivities) -> list[Worker]:
    graceful = timedelta(seconds=options.drain_timeout)
    main = Worker(
        client,
        task_queue=options.task_queue,
        workflows=workflow_classes(),
        activities=activities.functions,
        max_cached_workflows=options.max_cached_workflows,
        max_concurrent_workflow_tasks=WORKFLOW_TASKS,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        max_concurrent_activities=options.concurrency,
        graceful_shutdown_timeout=graceful,
        max_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        default_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
    )
    others = (
        Worker(
            client,
            task_queue=identifiers.task_queue(options.task_queue, queue),
            activities=activities.functions,
            max_concurrent_activities=options.concurrency,
            graceful_shutdown_timeout=graceful,
            max_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
            default_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        )
        for queue in options.queues
    )
    return [main, *others]
