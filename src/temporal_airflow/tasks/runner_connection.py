"""A runner as its slot sees it: forked when needed, given one task after the other, watched like a process a task.

To the runner goes one :class:`Task` with four sockets; back come a line of JSON when it has :class:`Started` and one
when it has :class:`Ended`. It must not know what a task does.
"""

from __future__ import annotations

import array
import os
import select
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Self

import psutil
from airflow.sdk.execution_time import supervisor
from psutil._psposix import negsig_to_enum
from pydantic import BaseModel

from temporal_airflow.tasks import bundle_files, process_tree

SOCKETS = 4
"""Of a task: for the Execution API, output, error output and log."""

CHUNK = 1024 * 1024

MAX_USES = 100
"""Tasks after which a runner is replaced, so that what they leave in it can't grow for ever."""


class Ended(BaseModel):
    """How a task ended.

    Attributes:
        exit_code: that its process would have had.
        reusable: whether another task can run in the runner.
        files: what has been imported of the bundle since the task before.
    """

    exit_code: int
    reusable: bool
    files: bundle_files.Files = {}


class Task(BaseModel):
    """What a runner is to know of a task before it starts.

    Attributes:
        bundle_path: folder of the DAG bundle.
        file: the DAG file, relative to it.
        fork: whether the task gets a process of its own, forked from the runner.
    """

    bundle_name: str
    bundle_path: str
    file: str
    fork: bool = False


class Started(BaseModel):
    """The process that a task runs in."""

    pid: int


def receive(control: socket.socket) -> tuple[Task, list[int]] | None:
    """Wait for a task and its sockets; None when there will be none."""
    task, descriptors, _, _ = socket.recv_fds(control, CHUNK, SOCKETS)
    return (Task.model_validate_json(task), list(descriptors)) if task else None


def tell(control: socket.socket, message: Started | Ended) -> None:
    """Tell the slot."""
    control.sendall(message.model_dump_json().encode() + b"\n")


class _Watch:
    """A descriptor that the supervisor handles like one of its sockets, but doesn't close."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        """Stays open for the next task."""


class Runner(supervisor.ProcessTracker):
    """A runner, and for Airflow's supervisor the process of the task that it runs.

    Attributes:
        bundle: identifies the bundle whose files it has imported.
        reusable: whether it can take another task.
        died: whether it ended by itself, in the middle of a task.
    """

    ProcessNotFound = psutil.NoSuchProcess
    TimeoutExpired = psutil.TimeoutExpired

    def __init__(self, pid: int, control: socket.socket, bundle: object) -> None:
        """Take over a forked process; see :meth:`fork`."""
        self.bundle = bundle
        self.reusable = True
        self.died = False
        self._pid = self._pid_of_task = pid
        self._control = control
        self._process = psutil.Process(pid)
        self._received = b""
        self._ended: Ended | None = None
        self._files: bundle_files.Files = {}
        self._exit = os.pidfd_open(pid)

    @classmethod
    def fork(cls, serve: Callable[[socket.socket], None], bundle: object) -> Self:
        """Fork a runner.

        Args:
            serve: its main loop, which never returns.
            bundle: whose files it is going to import.
        """
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                serve(theirs)
            except BaseException:  # noqa: BLE001  # the fork must never return into the slot's loop
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(1)
        theirs.close()
        return cls(pid, ours, bundle)

    @property
    def pid(self) -> int:
        """Of the process that runs the task."""
        return self._pid_of_task

    def fresh(self) -> bool:
        """Whether the next task would find the process as it must be."""
        dead = bool(select.select([self._exit], [], [], 0)[0])
        return self.reusable and not dead and bundle_files.unchanged(self._files)

    def hand_over(self, task: Task, descriptors: Iterable[int]) -> None:
        """Have it run a task; returns when the task's process is there.

        Args:
            task: what to run.
            descriptors: sockets for the Execution API, output, error output and log.
        """
        self._ended = None
        sockets = array.array("i", descriptors)
        message = task.model_dump_json().encode()
        self._control.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, sockets)])
        line = self._next_line()
        self._pid_of_task = Started.model_validate_json(line).pid if line else self._pid

    def wake(self, selector: selectors.BaseSelector) -> None:
        """Have a supervisor's selector wake when the task ends, however it does."""
        for descriptor in (self._control.fileno(), self._exit):
            selector.register(_Watch(descriptor), selectors.EVENT_READ, (lambda _: False, selector.unregister))

    def wait(self, timeout: float | None) -> int:  # noqa: ARG002  # the supervisor never waits here
        """The exit code of the task.

        Raises:
            TimeoutExpired: if it is still running.
        """
        watched = (self._control.fileno(), self._exit)
        ready = () if self._ended else select.select(watched, (), (), 0)[0]
        if self._control.fileno() in ready and (line := self._next_line()):
            self._ended = Ended.model_validate_json(line)
            self.reusable = self._ended.reusable
            self._files |= self._ended.files
        if self._ended is not None:
            exit_code = self._ended.exit_code
            return negsig_to_enum(exit_code) if exit_code < 0 else exit_code
        if not ready:
            raise psutil.TimeoutExpired(0, self._pid)
        self.reusable, self.died = False, True
        died: int = self._process.wait(timeout=0)
        return died

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the task's process."""
        process_tree.send_signal(self.pid, number)

    def discard(self) -> None:
        """Kill the process; what its tasks left running is left as they left it."""
        self.reusable = False
        process_tree.send_signal(self._pid, signal.SIGKILL)
        self._process.wait()
        self._control.close()
        os.close(self._exit)

    def _next_line(self) -> bytes:
        """Empty when the runner is gone."""
        while b"\n" not in self._received:
            try:
                chunk = self._control.recv(CHUNK)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return b""
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line


class RunnerSeat:
    """The one runner of a slot, replaced whenever the next task must not have it."""

    def __init__(self, fork: Callable[[object], Runner], max_uses: int = MAX_USES) -> None:
        """Start without a runner.

        Args:
            fork: forks one for the files of a bundle.
            max_uses: tasks after which it is replaced.
        """
        self._fork = fork
        self._max_uses = max_uses
        self._uses = 0
        self._runner: Runner | None = None

    def take(self, bundle: object) -> Runner:
        """A runner for a task of a bundle."""
        if self._runner is not None and (self._runner.bundle != bundle or not self._runner.fresh()):
            self._discard(self._runner)
        if self._runner is None:
            self._runner, self._uses = self._fork(bundle), 0
        self._uses += 1
        return self._runner

    def release(self, runner: Runner, *, well: bool) -> None:
        """Give it back.

        Args:
            runner: the one that was taken.
            well: whether the task ended in a way that leaves the process trustworthy.
        """
        if not (well and runner.reusable) or self._uses >= self._max_uses:
            self._discard(runner)

    def _discard(self, runner: Runner) -> None:
        runner.discard()
        self._runner = None
