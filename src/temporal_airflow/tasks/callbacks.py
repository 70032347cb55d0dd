"""Airflow's callback requests, run as its DAG processor runs them: parse the file, call what the DAG or task names.

For DAG-level callbacks, and for those of tasks that couldn't run them themselves. It must not know why they are due.
"""

from __future__ import annotations

import os
import selectors
import signal
import uuid
from pathlib import Path
from typing import Any

from airflow.callbacks.callback_requests import CallbackRequest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.processor import DagFileProcessorProcess
from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from airflow.sdk.execution_time import supervisor
from pydantic import TypeAdapter

from temporal_airflow.models import CallbackInput
from temporal_airflow.tasks import child_process, logs, process_tree
from temporal_airflow.tasks.channel import Channel
from temporal_airflow.tasks.execution_api import client as execution_api
from temporal_airflow.tasks.masking import masked
from temporal_airflow.tasks.messages import CallbacksDone, RunCallbacks

WAIT = 1.0
"""Seconds between two looks at whether the process is done."""

CANCELLED = "The callbacks were cancelled"

requests: TypeAdapter[CallbackRequest] = TypeAdapter(CallbackRequest)


def run_callbacks(request: RunCallbacks, channel: Channel) -> CallbacksDone:
    """Run the callbacks of one request to their end, in the main thread of a slot."""
    client: Any = execution_api.for_callbacks(request.input, request.large_xcom_path, channel)
    process = _start(request.input, client, channel)
    try:
        exit_code = _watch(process, channel)
    finally:
        process.close()
    if exit_code or channel.cancelled:
        process_tree.kill_descendants(os.getpid())
    if channel.cancelled:
        return CallbacksDone(exit_code=exit_code, error=CANCELLED)
    error = f"The process of the callbacks ended with exit code {exit_code}" if exit_code else _problem(process)
    return CallbacksDone(exit_code=exit_code, error=error)


def _start(callbacks: CallbackInput, client: Any, channel: Channel) -> DagFileProcessorProcess:
    bundles = DagBundlesManager()
    bundle = bundles.get_bundle(name=callbacks.bundle.name, version=callbacks.bundle.version)
    bundle.initialize()
    logger, log_file = supervisor._configure_logging(str(logs.callback_log_path(callbacks.run)), client)
    supervisor.ensure_secrets_backend_loaded()
    reset_secrets_masker()
    return DagFileProcessorProcess.start(
        id=uuid.uuid4(),
        path=Path(bundle.path, callbacks.bundle.relative_fileloc),
        bundle_path=Path(bundle.path),
        bundle_name=callbacks.bundle.name,
        dag_file_rel_path=callbacks.bundle.relative_fileloc,
        callbacks=[requests.validate_json(callbacks.request)],
        target=child_process.entrypoint(channel, child_process.run_file_processor),
        client=client,
        logger=logger,
        logger_filehandle=log_file,
        selector=selectors.DefaultSelector(),
    )


def _watch(process: DagFileProcessorProcess, channel: Channel) -> int:
    child_process.wake_on_exit(process.selector, process.pid)
    process.selector.register(channel, selectors.EVENT_READ, (_notice, process.selector.unregister))
    while not process.is_ready:
        process._service_subprocess(WAIT)
        if channel.cancelled:
            process.kill(signal.SIGKILL)
    return int(process._exit_code or 0)


def _notice(channel: Channel) -> bool:
    channel.poll()
    return True


def _problem(process: DagFileProcessorProcess) -> str | None:
    if process.parsing_result is None or not process.parsing_result.import_errors:
        return None
    return masked(f"The DAG file can't be imported: {'; '.join(process.parsing_result.import_errors)}")
