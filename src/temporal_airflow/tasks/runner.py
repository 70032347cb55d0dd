"""The process below a slot that forks itself for each task, or runs them one after the other (``isolation = reuse``).

What runs a task is Airflow's task runner; files of ``preparsed_bundles`` are parsed here, before the fork. Its
supervisor, a slot, hands over the sockets of each task and reads how the task ended; the protocol is in
:mod:`~temporal_airflow.tasks.runner_connection`. What a task may not leave to the next is taken back in between
(:mod:`~temporal_airflow.tasks.process_state`). It must not know what its tasks are.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import structlog
from airflow.dag_processing import dagbag
from airflow.sdk.execution_time import supervisor, task_runner
from airflow.sdk.execution_time.context import get_previous_dagrun_success
from airflow.sdk.lineage import get_hook_lineage_collector

from temporal_airflow.engine import seams
from temporal_airflow.tasks import airflow_imports, bundle_files, process_tree
from temporal_airflow.tasks.bundle_files import ImportedFiles
from temporal_airflow.tasks.parsed_files import ParsedFiles, preparsed_bundles
from temporal_airflow.tasks.process_state import ProcessState
from temporal_airflow.tasks.runner_connection import Ended, Started, Task, receive, tell

STANDARD = (0, 1, 2)
CRASHED = 126
"""Exit code of a task process in which Airflow's own code failed, as in stock Airflow."""


def serve(control: socket.socket) -> NoReturn:
    """Run tasks until the slot closes the socket."""
    os.setpgid(0, 0)  # so that a task's signals reach what it started, and nobody else
    parsed_files = ParsedFiles(dagbag.BundleDagBag)
    seams.install((*seams.TASK_SEAMS, seams.parsing_by(parsed_files)))
    handles = _Handles()
    state = ProcessState()
    imported: ImportedFiles | None = None
    while received := receive(control):
        started = time.time_ns()
        task, descriptors = received
        imported = imported or ImportedFiles(task.bundle_path)
        if task.fork:
            is_clean = not _prepare(task, parsed_files)
            exit_code = _run_in_fork(descriptors, handles, control)
            if is_clean:  # nothing to look after, which would write into pages that the next fork wants to share
                tell(control, Ended(exit_code=exit_code, reusable=True))
                continue
        else:
            exit_code = _run_here(descriptors, handles, control)
        state.restore()
        _forget_task()
        handles.disconnect()
        files = imported.update()
        alone = process_tree.thread_count() == 1
        reusable = handles.intact and alone and not bundle_files.newer(files, started)
        tell(control, Ended(exit_code=exit_code, reusable=reusable, files=files))
    os._exit(0)


def run_each(control: socket.socket) -> None:
    """Run tasks of our own until nobody has one; whoever calls this restores the process."""
    seams.install(seams.TASK_SEAMS)
    handles = _Handles()
    structlog.configure(cache_logger_on_first_use=False)  # or loggers would keep on writing into what is closed here
    while received := receive(control):
        exit_code = _run_here(received[1], handles, control)
        _forget_task()
        handles.disconnect()
        tell(control, Ended(exit_code=exit_code, reusable=True))
    handles.close()


def _run_here(descriptors: list[int], handles: _Handles, control: socket.socket) -> int:
    """Run a task in this process."""
    tell(control, Started(pid=os.getpid()))
    handles.connect(descriptors)
    return handles.run(_run_task)


def _run_in_fork(descriptors: list[int], handles: _Handles, control: socket.socket) -> int:
    """Run a task in a fork."""
    runner = os.getpid()
    pid = os.fork()
    if pid == 0:
        process_tree.die_with_parent(runner)
        os.setpgid(0, 0)
        control.close()
        handles.connect(descriptors)
        exit_code = handles.run(_run_task)
        atexit._run_exitfuncs()
        handles.disconnect()
        os._exit(exit_code)
    with contextlib.suppress(OSError):  # whichever of the two comes first
        os.setpgid(pid, pid)
    for descriptor in descriptors:
        os.close(descriptor)
    tell(control, Started(pid=pid))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _prepare(task: Task, parsed_files: ParsedFiles) -> bool:
    """Do for a task's file what all forks can share: parse it if that is allowed, else import what it needs of Airflow.

    Returns:
        Whether code of the file ran.
    """
    path = str(Path(task.bundle_path, task.file))
    try:
        if task.bundle_name not in preparsed_bundles():
            airflow_imports.prepare(path)
            return False
        return parsed_files.prepare(
            dag_folder=path,
            bundle_path=Path(task.bundle_path),
            bundle_name=task.bundle_name,
            safe_mode=False,
            load_op_links=False,
        )
    except Exception:  # noqa: BLE001  # the fork meets the same error, where it is reported
        traceback.print_exc()
        return True
    finally:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)


def _run_task() -> None:
    supervisor._reset_signals()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    contextvars.copy_context().run(task_runner.main)


def _forget_task() -> None:
    """Airflow's own memory of a task, which it leaves to the end of the process."""
    from airflow.sdk.definitions._internal import contextmanager

    vars(task_runner).pop("SUPERVISOR_COMMS", None)
    contextmanager._CURRENT_CONTEXT.clear()
    get_previous_dagrun_success.cache_clear()
    get_hook_lineage_collector.cache_clear()


class _Handles:
    """Standard input (the Execution API), output, error output and log, at numbers that stay.

    Each task gets sockets of its own behind them.

    Attributes:
        intact: whether another task can use them.
    """

    def __init__(self) -> None:
        self.intact = True
        self._nothing = os.open(os.devnull, os.O_RDWR)
        self._log = os.dup(self._nothing)
        self._last_chance = os.fdopen(os.dup(2), "w", buffering=1)
        supervisor._configure_logs_over_json_channel(self._log)
        self._streams = [open(number, "w", buffering=1, closefd=False) for number in STANDARD]  # noqa: SIM115
        sys.stdin, sys.stdout, sys.stderr = self._streams

    def connect(self, descriptors: Iterable[int]) -> None:
        """Put the sockets of a task behind the handles."""
        for descriptor, number in zip(descriptors, (*STANDARD, self._log), strict=True):
            os.dup2(descriptor, number, inheritable=number in STANDARD)
            os.close(descriptor)

    def run(self, task: Callable[[], None]) -> int:
        """Run a task; its exit code is what stock Airflow's process would have."""
        try:
            task()
        except SystemExit as exit_:
            if isinstance(exit_.code, int):
                return exit_.code
            if exit_.code:
                sys.stderr.write(f"{exit_.code}\n")
            return 1
        except BaseException:  # noqa: BLE001  # reported as the end of the process that it would have been
            traceback.print_exc(file=self._last_chance)
            return CRASHED
        return 0

    def disconnect(self) -> None:
        """Close the sockets, so that the supervisor sees the end."""
        for stream in self._streams:
            try:
                stream.flush()
            except (ValueError, OSError):  # closed by the task, or its rest would go to the next one
                self.intact = False
        for number in (*STANDARD, self._log):
            os.dup2(self._nothing, number, inheritable=number in STANDARD)

    def close(self) -> None:
        """Give up everything but the standard handles."""
        self._last_chance.close()
        for descriptor in (self._nothing, self._log):
            os.close(descriptor)
