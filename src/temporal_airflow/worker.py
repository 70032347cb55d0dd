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
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from temporal_airflow import identifiers
from temporal_airflow.capacity.pool_worker import UNCACHED_WORKFLOW_TASKS, build_pool_worker
from temporal_airflow.capacity.slot_post import SlotPost
from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.exceptions import ServerError
from temporal_airflow.sdk_warnings import ignore_late_cancellations
from temporal_airflow.settings import Settings
from temporal_airflow.tasks.activity import TaskActivities
from temporal_airflow.tasks.logs import check_log_folder
from temporal_airflow.tasks.slots import ProcessTemplate, SlotPool
from temporal_airflow.worker_patience import let_think

WORKFLOW_TASKS = 4
"""Concurrent workflow tasks. One of them always looks for new runs, and one may wait for what a run tells a pool: two
less would serve open runs one after the other, each waiting for the answers of the server to the one before. Not more:
Python runs one at a time, and each waits for the others."""

POLLERS = PollerBehaviorAutoscaling()
"""As many calls wait for work as the server says there is work for: one when idle, so that an idle worker costs little,
and many in a burst. A server that doesn't say leaves it at five, as the SDK has it by default."""

STICKY_TIMEOUT = timedelta(seconds=3)
"""How long a run waits for the worker that has it in memory before any worker may take it: the SDK's 10 s would be
added to every recovery from a lost worker."""

MOST_TRIGGERS = 1000
"""Deferred tasks that wait in one worker at once, as in one of Airflow's triggerers (``[triggerer] capacity``)."""


def workflow_tasks(max_cached_workflows: int | None) -> int:
    """Workflow tasks at once of a worker that keeps so many runs in memory; None stands for the SDK's own number."""
    return UNCACHED_WORKFLOW_TASKS if max_cached_workflows == 0 else WORKFLOW_TASKS


def workflow_classes() -> Sequence[type]:
    """The workflows of this package; imports Airflow's scheduling code first."""
    import_scheduling_code()
    from temporal_airflow.workflows.dag_run import ExecuteAirflowDagWorkflow
    from temporal_airflow.workflows.hold_dag import HoldAirflowDagWorkflow
    from temporal_airflow.workflows.keep_assets import KeepAirflowAssetsWorkflow
    from temporal_airflow.workflows.keep_state import KeepAirflowStateWorkflow
    from temporal_airflow.workflows.load_dag import LoadAirflowDagWorkflow
    from temporal_airflow.workflows.run_tasks import RunAirflowTasksWorkflow

    return (
        ExecuteAirflowDagWorkflow,
        RunAirflowTasksWorkflow,
        LoadAirflowDagWorkflow,
        KeepAirflowStateWorkflow,
        KeepAirflowAssetsWorkflow,
        HoldAirflowDagWorkflow,
    )


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
    ignore_late_cancellations()
    check_log_folder()
    settings.make_data_folder()
    activities = TaskActivities(client, settings.large_xcom_path)
    post = SlotPost(client)
    workers = _build_workers(client, settings, activities, task_queue, queues, post=post)
    workers.append(await build_pool_worker(client, settings.max_cached_workflows))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(post.open())
        pool = await stack.enter_async_context(activities.on(template, settings.concurrency, settings.waiting_slots))
        for worker in workers:
            try:
                await stack.enter_async_context(worker)
            except RuntimeError as error:
                raise ServerError(f"The Temporal server refused the worker: {error}") from error
        running = RunningWorker(workers, pool)
        stack.push_async_callback(running.drain)  # all at once: each takes a moment to leave
        yield running


def _build_workers(
    client: Client,
    settings: Settings,
    activities: TaskActivities,
    task_queue: str,
    queues: Sequence[str],
    *,
    post: SlotPost,
) -> list[Worker]:
    beat = timedelta(seconds=settings.heartbeat_interval)
    build = partial(
        Worker,
        client,
        activities=activities.functions,
        max_concurrent_activities=settings.concurrency,
        activity_task_poller_behavior=POLLERS,
        graceful_shutdown_timeout=timedelta(seconds=settings.drain_timeout),
        max_heartbeat_throttle_interval=beat,
        default_heartbeat_throttle_interval=beat,
    )
    main = build(
        task_queue=task_queue,
        workflows=workflow_classes(),
        interceptors=[post],
        max_cached_workflows=settings.max_cached_workflows,
        max_concurrent_workflow_tasks=workflow_tasks(settings.max_cached_workflows),
        workflow_task_poller_behavior=POLLERS,
        sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
    )
    others = [build(task_queue=identifiers.task_queue(task_queue, queue, settings.queue_map)) for queue in queues]
    return [let_think(main), *others, build_trigger_worker(client, settings, activities, task_queue)]


def build_trigger_worker(client: Client, settings: Settings, activities: TaskActivities, task_queue: str) -> Worker:
    """The worker of what waits for deferred tasks of a task queue: no slot is taken, so many may wait at once."""
    beat = timedelta(seconds=settings.heartbeat_interval)
    return Worker(
        client,
        task_queue=identifiers.trigger_queue(task_queue),
        activities=activities.waiting_functions,
        max_concurrent_activities=MOST_TRIGGERS,
        activity_task_poller_behavior=POLLERS,
        max_heartbeat_throttle_interval=beat,
        default_heartbeat_throttle_interval=beat,
    )
