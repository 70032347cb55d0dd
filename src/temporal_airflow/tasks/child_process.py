"""What a process forked from a slot does differently from one forked by a stock supervisor, on both sides of the fork.

It dies with its slot and holds none of the slot's sockets; its exit wakes the supervisor, which otherwise may sleep a
whole heartbeat interval after the last socket closed; and Airflow's code in it runs with the task seams. It must not
know what the process runs.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
from collections.abc import Callable
from typing import ParamSpec

from temporal_airflow.engine import seams
from temporal_airflow.models import TriggeredRun
from temporal_airflow.tasks import process_tree
from temporal_airflow.tasks.channel import Channel

Arguments = ParamSpec("Arguments")


def entrypoint(channel: Channel, target: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Wrap what a fork runs.

    Args:
        channel: the slot's channel: a fork that held it open would hide the slot's death from the worker.
        target: Airflow's own entry point, or ours.
    """
    slot = os.getpid()

    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        process_tree.die_with_parent(slot)
        channel.close()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        target(*args, **kwargs)

    return run


def run_task(triggered: TriggeredRun | None = None) -> None:
    """Airflow's task runner; a crash of the task is a crash.

    Args:
        triggered: a run that an earlier attempt at the same try has started.
    """
    from airflow.sdk.execution_time import task_runner

    seams.install(seams.TASK_SEAMS)
    if triggered is not None:
        seams.install((seams.adopting(triggered),))
    task_runner.main()


def run_file_processor() -> None:
    """Airflow's processor of one DAG file and its callbacks; a crash of a callback is a crash."""
    from airflow.dag_processing import processor

    seams.install(seams.TASK_SEAMS)
    processor._parse_file_entrypoint()


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
