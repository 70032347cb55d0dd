"""One try: Airflow's own supervisor and task runner, started from what a request says, turned into a result.

The task runs in a fork of the slot, stock from its first line to its last. It must not know Temporal, nor how long
the worker waits.
"""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.processor import _pre_import_airflow_modules
from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from airflow.sdk.api.datamodels._generated import BundleInfo, TaskInstance
from airflow.sdk.execution_time import supervisor
from airflow.utils import net
from airflow.utils.state import TaskInstanceState

from temporal_airflow.models import BundleReference, TaskExecutionInput, TaskExecutionResult
from temporal_airflow.tasks import child_process, logs, process_tree
from temporal_airflow.tasks.channel import Channel
from temporal_airflow.tasks.execution_api import client as execution_api
from temporal_airflow.tasks.messages import RunTask, TaskDone
from temporal_airflow.tasks.task_supervisor import TaskProcess
from temporal_airflow.tasks.try_record import TryRecord, one_line

CANCELLED = "The task was cancelled"

RECOGNIZABLE = 40
"""Characters by which the message of a refused call is found in the error that Airflow makes of it."""

log = structlog.get_logger(__name__)


def run_try(request: RunTask, channel: Channel) -> TaskDone:
    """Run one attempt at one try to its end, in the main thread of a slot."""
    task = request.input
    record = TryRecord()
    started = datetime.now(UTC)
    api = execution_api.for_task(task, request.large_xcom_path, channel, record)
    process = _supervise(task, api, channel, record)
    if process.exit_code != 0 or record.cancelled:
        process_tree.kill_descendants(os.getpid())
    _decide(record, process.exit_code, should_retry=task.should_retry)
    return TaskDone(result=_result(task, record, api, process, started), cancelled=record.cancelled)


def prepare_file(bundle: BundleReference) -> None:
    """Import what the DAG file imports of Airflow, so that every task forked from this slot has it already."""
    try:
        bundles = DagBundlesManager()
        source = bundles.get_bundle(name=bundle.name, version=bundle.version)
        source.initialize()
        _pre_import_airflow_modules(str(Path(source.path, bundle.relative_fileloc)), log)
    except Exception as error:  # noqa: BLE001  # only a saving; the task meets the same error and reports it
        log.debug("DAG file can't be prepared", error=error)


def _supervise(
    task: TaskExecutionInput, api: execution_api.ExecutionApi, channel: Channel, record: TryRecord
) -> TaskProcess:
    prepare_file(task.bundle)
    path = logs.log_path(task.run, task.task_id, task.map_index, task.try_number)
    client: Any = api
    logger, log_file = supervisor._configure_logging(str(path), client)
    try:
        supervisor.ensure_secrets_backend_loaded()
        reset_secrets_masker()
        process = TaskProcess.start(
            what=_task_instance(task),
            dag_rel_path=task.bundle.relative_fileloc,
            bundle_info=BundleInfo(name=task.bundle.name, version=task.bundle.version),
            client=client,
            logger=logger,
            target=child_process.entrypoint(channel, child_process.run_task),
            channel=channel,
            record=record,
        )
        process.wait()
        return process
    finally:
        log_file.close()


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
    died = exit_code != 0 or record.state is None
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
        error=record.error,
        rendered_map_index=record.rendered_map_index,
        retry_delay_seconds=record.retry_delay_seconds,
        retry_reason=record.retry_reason,
        reschedule_date=record.reschedule_date,
        deferral=record.deferral,
        xcoms=api.xcoms.written(),
        mapped_length=api.xcoms.mapped_length,
        skipped_tasks=tuple(record.skipped_tasks),
        asset_events=record.asset_events,
    )
