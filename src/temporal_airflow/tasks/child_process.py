"""What a process forked from a slot does differently from one forked by a stock supervisor, on both sides of the fork.

Three deltas, each found by experiment: it dies with its slot and holds none of the slot's sockets; a real SIGSEGV
kills it (parsing a DAG file installs a Python handler that loops for ever); and its exit wakes the supervisor, which
otherwise may sleep a whole heartbeat interval after the last socket closed. A fourth saves 8 ms a task: the decoder of
the supervisor's messages is built once in the template, not twice in each task. It must not know what the process runs.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
from collections.abc import Callable
from typing import Any

from airflow.sdk.execution_time import comms
from pydantic import TypeAdapter

from temporal_airflow.tasks import process_tree
from temporal_airflow.tasks.channel import Channel

MESSAGES_TO_TASK: TypeAdapter[Any] = TypeAdapter(comms.ToTask)


def entrypoint(channel: Channel, target: Callable[[], None]) -> Callable[[], None]:
    """Wrap what a fork runs.

    Args:
        channel: the slot's channel: a fork that held it open would hide the slot's death from the worker.
        target: Airflow's own entry point.
    """
    slot = os.getpid()

    def run() -> None:
        process_tree.die_with_parent(slot)
        channel.close()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        target()

    return run


def run_task() -> None:
    """Airflow's task runner; a crash of the task is a crash."""
    from airflow.sdk.execution_time import task_runner

    comms.TypeAdapter = _prebuilt_adapter  # type: ignore[attr-defined, assignment]
    task_runner.parse = _then_restore_segfault(task_runner.parse)
    task_runner.main()  # type: ignore[no-untyped-call]


def run_file_processor() -> None:
    """Airflow's processor of one DAG file and its callbacks; a crash of a callback is a crash."""
    from airflow.dag_processing import processor

    processor._execute_callbacks = _after_restoring_segfault(processor._execute_callbacks)
    processor._parse_file_entrypoint()  # type: ignore[no-untyped-call]


def wake_on_exit(selector: selectors.BaseSelector, pid: int) -> None:
    """Have a supervisor's selector wake when the process ends."""
    if sys.platform == "linux":
        watch = _ExitWatch(os.pidfd_open(pid))
        selector.register(watch, selectors.EVENT_READ, (lambda _: False, selector.unregister))


class _ExitWatch:
    """A pidfd that the supervisor handles like one of its sockets."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


def _prebuilt_adapter(kind: Any) -> TypeAdapter[Any]:
    return MESSAGES_TO_TASK if kind is comms.ToTask else TypeAdapter(kind)


def _then_restore_segfault(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)

    return wrapped


def _after_restoring_segfault(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        return function(*args, **kwargs)

    return wrapped
