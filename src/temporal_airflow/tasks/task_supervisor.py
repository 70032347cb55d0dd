"""Airflow's supervisor of a task process, with what it lacks between a worker and its slot.

It wakes when the task's process ends and when the worker says something, notices a cancellation at once, kills what a
failed process left behind, and keeps why a call was refused. It must not know what a result is.
"""

from __future__ import annotations

import os
import selectors
import socket
from typing import Any, Self

import attrs
from airflow.sdk.api.client import ServerResponseError
from airflow.sdk.execution_time import supervisor

from temporal_airflow.exceptions import TemporalAirflowError
from temporal_airflow.tasks import child_process, process_tree
from temporal_airflow.tasks.channel import Channel
from temporal_airflow.tasks.error_capture import ErrorCapture
from temporal_airflow.tasks.runner_connection import SOCKETS, Runner, Task
from temporal_airflow.tasks.try_record import TryRecord


@attrs.define(kw_only=True)
class TaskProcess(supervisor.ActivitySubprocess):
    """Airflow's supervisor of a task, woken by the task's exit and by the worker."""

    channel: Channel
    record: TryRecord

    @property
    def exit_code(self) -> int:
        """How the process ended; negative for a signal."""
        return int(self._exit_code or 0)

    def _get_target_loggers(self) -> tuple[Any, ...]:
        return (*super()._get_target_loggers(), ErrorCapture(self.record).logger())

    def _handle_request(self, msg: Any, log: Any, req_id: int) -> None:
        try:
            super()._handle_request(msg, log, req_id)
        except TemporalAirflowError as error:
            self.record.refusal = str(error)
            raise
        except ServerResponseError as error:
            if isinstance(error.detail, dict):
                self.record.refusal = str(error.detail.get("message"))
            raise

    def _monitor_subprocess(self) -> None:
        self._wake_on_exit()
        self.selector.register(self.channel, selectors.EVENT_READ, (self._notice, self.selector.unregister))
        super()._monitor_subprocess()  # type: ignore[no-untyped-call]

    def _wake_on_exit(self) -> None:
        child_process.wake_on_exit(self.selector, self.pid)

    def _notice(self, channel: Channel) -> bool:
        channel.poll()
        return True

    def _send_heartbeat_if_needed(self) -> None:
        if self.channel.cancelled:
            self._last_heartbeat_attempt = 0  # a cancellation doesn't wait for the next heartbeat
        super()._send_heartbeat_if_needed()  # type: ignore[no-untyped-call]

    def _check_subprocess_exit(self, *args: Any, **kwargs: Any) -> int | None:
        was_running = self._exit_code is None
        exit_code: int | None = super()._check_subprocess_exit(*args, **kwargs)
        ended_badly = exit_code or (exit_code is not None and self.channel.cancelled)
        if was_running and ended_badly:  # strays hold the task's sockets open, which are waited for
            process_tree.kill_descendants(os.getpid())
        return exit_code


class _OnRunner(supervisor.WatchedSubprocess):
    """Hands the task to a process that is there already."""

    __slots__ = ()

    @classmethod
    def start(  # type: ignore[override]
        cls, *, runner: Runner, task: Task, logger: Any, target: Any, use_exec: bool, **how: Any
    ) -> Self:
        """Hand over the other ends of what a fork would inherit."""
        del target, use_exec
        ours, theirs = zip(*(socket.socketpair() for _ in range(SOCKETS)), strict=True)
        runner.hand_over(task, [end.fileno() for end in theirs])
        for end in theirs:
            end.close()
        requests, stdout, stderr, logs = ours
        process = cls(pid=runner.pid, stdin=requests, process=runner, process_log=logger, **how)
        process._register_pipe_readers(stdout, stderr, requests, logs, data={})
        return process


@attrs.define(kw_only=True)
class RunnerTaskProcess(TaskProcess, _OnRunner):  # type: ignore[misc]  # `start` is made to fit
    """The same for a task that runs in a runner, or in a fork of one."""

    def _wake_on_exit(self) -> None:
        runner: Any = self._process
        runner.wake(self.selector)
