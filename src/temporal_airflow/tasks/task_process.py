"""One try: Airflow's own supervisor and task runner, started from what a request says, turned into a result.

The task runs in a process of its own (``isolation = fork``), or in one that runs one task after the other
(``isolation = reuse``); below the slot there is a runner for both. It must not know Temporal, nor how long the worker
waits.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import structlog
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from airflow.sdk.api.datamodels._generated import BundleInfo, TaskInstance
from airflow.sdk.execution_time import supervisor
from airflow.utils import net
from airflow.utils.state import TaskInstanceState

from temporal_airflow.exceptions import ProcessLostError
from temporal_airflow.models import TaskExecutionInput, TaskExecutionResult
from temporal_airflow.settings import load_settings
from temporal_airflow.tasks import child_process, logs, process_tree
from temporal_airflow.tasks.channel import Channel
from temporal_airflow.tasks.execution_api import client as execution_api
from temporal_airflow.tasks.masking import masked
from temporal_airflow.tasks.messages import RunTask, TaskDone
from temporal_airflow.tasks.parsed_files import preparsed_bundles
from temporal_airflow.tasks.runner_connection import Runner, RunnerSeat, Task
from temporal_airflow.tasks.task_supervisor import RunnerTaskProcess, TaskProcess
from temporal_airflow.tasks.try_record import TryRecord, one_line

CANCELLED = "The task was cancelled"

ENDED_WELL = (
    TaskInstanceState.SUCCESS,
    TaskInstanceState.SKIPPED,
    TaskInstanceState.DEFERRED,
    TaskInstanceState.UP_FOR_RESCHEDULE,
    TaskInstanceState.AWAITING_INPUT,
)
"""States after which a process may run another task."""

ASKING = (TaskInstanceState.AWAITING_INPUT, TaskInstanceState.DEFERRED)
"""States in which what a task asked is still open."""

RECOGNIZABLE = 40
"""Characters by which the message of a refused call is found in the error that Airflow makes of it."""

log = structlog.get_logger(__name__)


def run_try(request: RunTask, channel: Channel) -> TaskDone:
    """Run one attempt at one try to its end, in the main thread of a slot."""
    task = request.input
    record = TryRecord()
    started = datetime.now(UTC)
    api = execution_api.for_task(task, request.large_xcom_path, channel, record)
    with _log_of(task, api) as logger:
        supervisor.ensure_secrets_backend_loaded()
        reset_secrets_masker()
        start = _in_runner if _wants_runner(task) else _in_fork
        process = start(task, channel, record, client=api, logger=logger)
    return TaskDone(
        result=_result(task, record, api, process, started),
        cancelled=record.cancelled,
        largest_task=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
        runner=record.runner,
    )


@contextmanager
def _log_of(task: TaskExecutionInput, api: execution_api.ExecutionApi) -> Iterator[Any]:
    path = logs.log_path(task.run, task.task_id, task.map_index, task.try_number)
    client: Any = api
    logger, log_file = supervisor._configure_logging(str(path), client)
    try:
        yield logger
    finally:
        log_file.close()


def _in_fork(task: TaskExecutionInput, channel: Channel, record: TryRecord, **how: Any) -> TaskProcess:
    """Run the task in a fork of this process."""
    run = partial(child_process.run_task, task.triggered_run)
    target = child_process.entrypoint(channel, run)
    process = TaskProcess.start(target=target, channel=channel, record=record, **_what(task), **how)
    _finish(process, record, task)
    return process


def _in_runner(task: TaskExecutionInput, channel: Channel, record: TryRecord, **how: Any) -> TaskProcess:
    """Run the task in a fork of a process that runs no task itself, or in the process that ran the one before."""
    seat = _seat(channel)
    bundle = task.bundle
    runs_files = _reuses() or bundle.name in preparsed_bundles()
    runner = seat.take((bundle.name, bundle.version) if runs_files else None)
    record.runner = runner.pid
    well = False
    try:
        process = RunnerTaskProcess.start(
            runner=runner,
            task=Task(
                bundle_name=bundle.name,
                bundle_path=_bundle_path(bundle.name, bundle.version),
                file=bundle.relative_fileloc,
                fork=not _reuses(),
            ),
            channel=channel,
            record=record,
            **_what(task),
            **how,
        )
        _finish(process, record, task)
        if runner.died and not _reuses():
            raise ProcessLostError("The process that the task was forked from is gone.")
        well = not _reuses() or (process.exit_code == 0 and not record.cancelled and record.state in ENDED_WELL)
    finally:
        seat.release(runner, well=well)
    return process


def _finish(process: TaskProcess, record: TryRecord, task: TaskExecutionInput) -> None:
    process.wait()
    if process.exit_code != 0 or record.cancelled:
        process_tree.kill_descendants(os.getpid())
    _decide(record, process.exit_code, should_retry=task.should_retry)


def _wants_runner(task: TaskExecutionInput) -> bool:
    if task.triggered_run is not None or sys.platform != "linux":  # the first needs a seam of its own
        return False
    try:
        return bool(_bundle_path(task.bundle.name, task.bundle.version))
    except Exception as error:  # noqa: BLE001  # the task meets the same error and reports it
        log.debug("DAG bundle can't be prepared", error=error)
        return False


@cache
def _reuses() -> bool:
    return load_settings().isolation == "reuse"


@cache
def _seat(channel: Channel) -> RunnerSeat:
    def fork(bundle: object) -> Runner:
        from temporal_airflow.tasks import runner

        return Runner.fork(child_process.entrypoint(channel, runner.serve), bundle)

    return RunnerSeat(fork)


@cache
def _bundle_path(name: str, version: str | None) -> str:
    bundle = DagBundlesManager().get_bundle(name=name, version=version)
    bundle.initialize()
    return str(bundle.path)


def _what(task: TaskExecutionInput) -> dict[str, Any]:
    """What Airflow's supervisor is to run."""
    return {
        "what": _task_instance(task),
        "dag_rel_path": task.bundle.relative_fileloc,
        "bundle_info": BundleInfo(name=task.bundle.name, version=task.bundle.version),
    }


def _task_instance(task: TaskExecutionInput) -> TaskInstance:
    return TaskInstance(
        id=task.task_instance_id,
        task_id=task.task_id,
        dag_id=task.run.dag_id,
        run_id=task.run.run_id,
        try_number=task.try_number,
        dag_version_id=task.dag_version_id,
        map_index=task.map_index,
        hostname=_hostname(),
        queue=task.queue or "default",
    )


def _hostname() -> str:
    return str(net.get_hostname())


def _decide(record: TryRecord, exit_code: int, *, should_retry: bool) -> None:
    """Fill in what the task didn't say: that it was cancelled, or that its process ended without a word."""
    if record.cancelled:
        record.state, record.error = TaskInstanceState.FAILED, CANCELLED
        return
    record.unreported = record.state is None
    died = exit_code != 0 or record.unreported
    record.end(TaskInstanceState.UP_FOR_RETRY if should_retry else TaskInstanceState.FAILED)
    if record.state not in (TaskInstanceState.FAILED, TaskInstanceState.UP_FOR_RETRY):
        record.error = None
    elif died and (record.error is None or exit_code < 0):
        record.error = _how_it_died(exit_code)
    elif record.refusal and record.refusal[:RECOGNIZABLE] in (record.error or ""):
        record.error = one_line(record.refusal)  # instead of what Airflow wraps it in
    elif record.error is None:
        record.error = record.last_exception


def _how_it_died(exit_code: int) -> str:
    if exit_code < 0:
        return f"Process was killed by {signal.Signals(-exit_code).name}"
    if exit_code == 0:
        return "Process ended without reporting a state"
    return f"Process ended with exit code {exit_code}"


def _result(
    task: TaskExecutionInput,
    record: TryRecord,
    api: execution_api.ExecutionApi,
    process: TaskProcess,
    started: datetime,
) -> TaskExecutionResult:
    assert record.state is not None
    return TaskExecutionResult(
        state=record.state,
        start_date=task.start_date or started,
        end_date=record.end_date or datetime.now(UTC),
        hostname=_hostname(),
        pid=process.pid,
        exit_code=process.exit_code,
        unreported=record.unreported,
        error=record.error,
        rendered_map_index=masked(record.rendered_map_index),
        retry_delay_seconds=record.retry_delay_seconds,
        retry_reason=masked(record.retry_reason),
        reschedule_date=record.reschedule_date,
        deferral=record.deferral,
        input_request=record.input_request if record.state in ASKING else None,
        input_wait=record.input_wait,
        xcoms=api.xcoms.written(),
        mapped_length=api.xcoms.mapped_length,
        skipped_tasks=tuple(record.skipped_tasks),
        asset_events=record.asset_events,
    )
