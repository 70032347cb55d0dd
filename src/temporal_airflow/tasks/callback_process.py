"""A function called in a process of its own, as Airflow's executors call callbacks: imported by its path, and logged.

It must not know what is called, nor why.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import attrs
from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from airflow.sdk.api.datamodels._generated import BundleInfo
from airflow.sdk.execution_time import callback_supervisor, supervisor

from temporal_airflow.models import BundleReference
from temporal_airflow.tasks import child_process, process_tree
from temporal_airflow.tasks.channel import Channel
from temporal_airflow.tasks.error_capture import ErrorCapture
from temporal_airflow.tasks.execution_api.client import ExecutionApi
from temporal_airflow.tasks.messages import CallbacksDone
from temporal_airflow.tasks.try_record import TryRecord

CANCELLED = "The callback was cancelled"


@dataclass(frozen=True)
class Call:
    """What to call.

    Attributes:
        path: where the function is imported from.
        bundle: found on ``sys.path`` by what is imported.
        log_path: relative to Airflow's log folder.
    """

    id: UUID
    path: str
    arguments: dict[str, Any]
    bundle: BundleReference
    log_path: Path


class _InSlot(supervisor.WatchedSubprocess):
    """Has the fork start as every fork of a slot does."""

    __slots__ = ()

    @classmethod
    def start(cls, *, target: Callable[[], None], channel: Channel, **how: Any) -> Self:  # type: ignore[override]
        """Fork."""
        return super().start(target=child_process.entrypoint(channel, target), channel=channel, **how)


@attrs.define(kw_only=True)
class CallbackProcess(callback_supervisor.CallbackSubprocess, _InSlot):  # type: ignore[misc]  # `start` is made to fit
    """Airflow's supervisor of such a process, woken by its exit and by the worker."""

    channel: Channel
    record: TryRecord

    def _get_target_loggers(self) -> tuple[Any, ...]:
        return (*super()._get_target_loggers(), ErrorCapture(self.record).logger())

    def _monitor_subprocess(self) -> None:
        child_process.wake_on_exit(self.selector, self.pid)
        self.selector.register(self.channel, selectors.EVENT_READ, (self._notice, self.selector.unregister))
        super()._monitor_subprocess()  # type: ignore[no-untyped-call]

    def _notice(self, channel: Channel) -> bool:
        channel.poll()
        if channel.cancelled:
            os.kill(self.pid, signal.SIGKILL)
        return True


def run(call: Call, client: ExecutionApi, channel: Channel) -> CallbacksDone:
    """Call a function and wait for its end, in the main thread of a slot."""
    record = TryRecord()
    exit_code = _supervise(call, client, channel, record)
    if exit_code or channel.cancelled:
        process_tree.kill_descendants(os.getpid())
    if channel.cancelled:
        return CallbacksDone(exit_code=exit_code, error=CANCELLED)
    ended = f"The process of the callback ended with exit code {exit_code}"
    return CallbacksDone(exit_code=exit_code, error=record.last_exception or ended if exit_code else None)


def _supervise(call: Call, api: ExecutionApi, channel: Channel, record: TryRecord) -> int:
    client: Any = api
    logger, log_file = callback_supervisor._configure_logging(str(call.log_path), client)
    try:
        supervisor.ensure_secrets_backend_loaded()
        reset_secrets_masker()
        process = CallbackProcess.start(
            id=str(call.id),
            callback_path=call.path,
            callback_kwargs=call.arguments,
            dag_rel_path=Path(call.bundle.relative_fileloc),
            bundle_info=BundleInfo(name=call.bundle.name, version=call.bundle.version),
            client=client,
            logger=logger,
            channel=channel,
            record=record,
        )
        return process.wait()
    finally:
        log_file.close()
