"""Builds and runs a worker: workflows, activities and the processes that run user code, tuned together.

It must not know how a run is started or shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from temporalio.client import Client
from temporalio.worker import Worker

from temporal_airflow import identifiers
from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.exceptions import ServerError
from temporal_airflow.settings import Settings
from temporal_airflow.tasks.activity import TaskActivities
from temporal_airflow.tasks.logs import check_log_folder
from temporal_airflow.tasks.slots import ProcessTemplate, SlotPool

WORKFLOW_TASKS = 2
"""Concurrent workflow tasks: Python runs one at a time, and the SDK's 2 s deadlock detector counts waiting too."""

STICKY_TIMEOUT = timedelta(seconds=3)
"""How long a run waits for the worker that has it in memory before any worker may take it: the SDK's 10 s would be
added to every recovery from a lost worker."""

MOST_TRIGGERS = 1000
"""Deferred tasks that wait in one worker at once, as in one of Airflow's triggerers (``[triggerer] capacity``)."""

HEARTBEAT_INTERVAL = timedelta(seconds=1)
"""How soon a cancellation reaches a task: it travels on the answer to a heartbeat."""


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
    client: Client, template: ProcessTemplate, settings: Settings, task_queue: str, queues: Sequence[str] = ()
) -> AsyncIterator[RunningWorker]:
    """Serve runs and tasks for as long as the block runs.

    Args:
        client: connected to the server.
        template: the process that task processes are forked from.
        settings: how many tasks at once, how long to drain, where large XComs go.
        task_queue: of workflows, and of tasks in Airflow's default queue.
        queues: further Airflow queues whose tasks are served.

    Raises:
        InputError: if the folder of task logs can't be written.
        ServerError: if the server refuses the worker.
    """
    check_log_folder()
    settings.make_data_folder()
    activities = TaskActivities(client, settings.large_xcom_path)
    workers = _build_workers(client, settings, activities, task_queue, queues)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(activities.on(template, settings.concurrency))
        for worker in workers:
            try:
                await stack.enter_async_context(worker)
            except RuntimeError as error:
                raise ServerError(f"The Temporal server refused the worker: {error}") from error
        yield RunningWorker(workers, pool)


def _build_workers(
    client: Client, settings: Settings, activities: TaskActivities, task_queue: str, queues: Sequence[str]
) -> list[Worker]:
    build = partial(
        Worker,
        client,
        activities=activities.functions,
        max_concurrent_activities=settings.concurrency,
        graceful_shutdown_timeout=timedelta(seconds=settings.drain_timeout),
        max_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        default_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
    )
    main = build(
        task_queue=task_queue,
        workflows=workflow_classes(),
        max_cached_workflows=settings.max_cached_workflows,
        max_concurrent_workflow_tasks=WORKFLOW_TASKS,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
    )
    others = [build(task_queue=identifiers.task_queue(task_queue, queue)) for queue in queues]
    return [main, *others, build_trigger_worker(client, activities, task_queue)]


def build_trigger_worker(client: Client, activities: TaskActivities, task_queue: str) -> Worker:
    """The worker of what waits for deferred tasks of a task queue: no slot is taken, so many may wait at once."""
    return Worker(
        client,
        task_queue=identifiers.trigger_queue(task_queue),
        activities=activities.waiting_functions,
        max_concurrent_activities=MOST_TRIGGERS,
        max_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
        default_heartbeat_throttle_interval=HEARTBEAT_INTERVAL,
    )
