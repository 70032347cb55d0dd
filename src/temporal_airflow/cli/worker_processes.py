"""``worker --processes N``: several complete workers under one command, since workflow code holds one core a process.

The command's own process imports Airflow once and forks the workers, which share that memory; it serves nothing itself,
so it has neither threads nor a connection to the server. Each worker has a guardian, a template and slots of its own:
one that dies takes only its own tasks along, and is replaced.

A socket ties each worker to the command: the worker says on it that it is ready, and is told on it to stop. Signals do
nothing to the workers themselves: a terminal and a service manager send them to every process, and a worker would take
the second one for a request to stop at once. When the command is killed, its workers drain and end.

It must not know what a worker does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import typer

from temporal_airflow.cli.console import report
from temporal_airflow.exceptions import ExitCode
from temporal_airflow.tasks import process_tree

DRAINING = "Draining: no new tasks are taken; send the signal again to stop the running ones."
STOPPING = "Stopping the running tasks; they will run again on another worker."

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

RESTART_PAUSE = 5.0
"""Seconds until another try to replace a worker, when the last one did not get ready: the server may be away."""

WorkerMain = Callable[["UnderCommand"], NoReturn]
"""A worker's life; ends by ``typer.Exit``."""


class UnderCommand:
    """How a worker speaks with the command that it belongs to."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._told = 0

    def ready(self, served: str) -> None:
        """Tell the command; it says so once all its workers are ready."""
        with contextlib.suppress(OSError):  # the command is gone: its end of the socket says so
            self._connection.sendall(f"{served}\n".encode())

    def say(self, text: str) -> None:
        """Nothing: the command has said it for all."""

    @asynccontextmanager
    async def stop_signals(self) -> AsyncIterator[asyncio.Queue[int]]:
        """An item for each time that the worker is told to stop."""
        loop = asyncio.get_running_loop()
        signals: asyncio.Queue[int] = asyncio.Queue()
        loop.add_reader(self._connection, self._hear, signals)
        try:
            yield signals
        finally:
            loop.remove_reader(self._connection)

    def _hear(self, signals: asyncio.Queue[int]) -> None:
        heard = self._connection.recv(16)
        if not heard:
            asyncio.get_running_loop().remove_reader(self._connection)
            heard = b"" if self._told else bytes([signal.SIGTERM])
        self._told += len(heard)
        for number in heard:
            signals.put_nowait(number)


@dataclass
class _Worker:
    """A worker as the command sees it.

    Attributes:
        number: its place among the workers.
        replaces: whether it takes the place of one that died.
        served: what it said when it was ready.
    """

    number: int
    pid: int
    connection: socket.socket
    replaces: bool
    served: str = ""


@dataclass
class WorkerProcesses:
    """The workers of a command.

    Attributes:
        mains: what each worker does.
    """

    mains: Sequence[WorkerMain]
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _due: dict[int, float] = field(default_factory=dict)
    _stops: bytes = b""
    _exit_code: int = ExitCode.SUCCESS
    _announced: bool = False
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def run(self) -> int:
        """Start the workers, replace those that die, and return when all have been told to stop and have ended."""
        gc.collect()
        gc.freeze()  # the workers share this memory for as long as nobody writes to it
        assert process_tree.thread_count() == 1, "a process with threads can't be forked safely"
        with self._selector, _signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ)
            for number in range(len(self.mains)):
                self._fork(number, replaces=False)
            while self._workers or (self._due and not self._stops):
                for key, _ in self._selector.select(self._pause()):
                    if not isinstance(key.data, _Worker):
                        self._take_signals(signals.recv(64))
                    elif key.data.pid in self._workers:
                        self._hear(key.data)
                self._fork_due()
        return self._exit_code

    def _pause(self) -> float | None:
        return max(0.0, min(self._due.values()) - time.monotonic()) if self._due else None

    def _fork_due(self) -> None:
        for number in [number for number, due in self._due.items() if due <= time.monotonic()]:
            del self._due[number]
            if not self._stops:
                self._fork(number, replaces=True)

    def _fork(self, number: int, *, replaces: bool) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            ours.close()
            self._leave_to_command()
            _become(self.mains[number], theirs)
        theirs.close()
        worker = self._workers[pid] = _Worker(number, pid, ours, replaces)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _leave_to_command(self) -> None:
        """Give up, in a worker, what is the command's: else a worker would hold up the sockets of the others."""
        os.close(signal.set_wakeup_fd(-1))
        self._selector.close()
        for worker in self._workers.values():
            worker.connection.close()

    def _hear(self, worker: _Worker) -> None:
        with contextlib.suppress(ConnectionResetError):
            if heard := worker.connection.recv(4096):
                worker.served += heard.decode()
                self._announce(worker)
                return
        self._selector.unregister(worker.connection)

    def _announce(self, worker: _Worker) -> None:
        if not self._announced and len(self._workers) == len(self.mains) == self._ready():
            self._announced = True
            report(f"{worker.served.strip()}\nWorker processes: {len(self.mains)}.")

    def _ready(self) -> int:
        return sum(1 for worker in self._workers.values() if worker.served)

    def _take_signals(self, numbers: bytes) -> None:
        stops = bytes(number for number in numbers if number in STOP_SIGNALS)
        for _ in stops[: max(0, 2 - len(self._stops))]:
            report(STOPPING if self._stops else DRAINING)
            self._stop()
        for worker, status in self._ended():
            self._settle(worker, os.waitstatus_to_exitcode(status))

    def _stop(self) -> None:
        """Tell the workers; one that isn't ready has nothing to drain, and may wait for a server that is away."""
        self._stops += bytes([signal.SIGTERM])
        for worker in self._workers.values():
            if not worker.served:
                os.kill(worker.pid, signal.SIGKILL)
                continue
            with contextlib.suppress(OSError):  # it just ended
                worker.connection.sendall(bytes([signal.SIGTERM]))

    def _ended(self) -> Iterator[tuple[_Worker, int]]:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                yield self._workers.pop(ended[0]), ended[1]

    def _settle(self, worker: _Worker, exit_code: int) -> None:
        """Replace a worker that died; but one that can't even start at first would not start the next time either."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.connection)
        worker.connection.close()
        if self._stops:
            self._exit_code = self._exit_code or max(exit_code, 0)
        elif worker.served:
            report(f"Worker process {worker.pid} ended unexpectedly ({_described(exit_code)}); it is replaced.")
            self._fork(worker.number, replaces=True)
        elif worker.replaces:
            report(f"A new worker process did not get ready; trying again in {RESTART_PAUSE:g} s.")
            self._due[worker.number] = time.monotonic() + RESTART_PAUSE
        else:
            self._exit_code = exit_code if exit_code > 0 else ExitCode.RUN_FAILED
            self._stop()


def _described(exit_code: int) -> str:
    return f"exit code {exit_code}" if exit_code >= 0 else signal.Signals(-exit_code).name


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that gives a byte, its number, for each signal that this process is interested in."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    interesting = (*STOP_SIGNALS, signal.SIGCHLD)
    before = {number: signal.signal(number, _do_nothing) for number in interesting}
    wakeup = signal.set_wakeup_fd(os.dup(writer.fileno()), warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        os.close(signal.set_wakeup_fd(wakeup))
        for number, handler in before.items():
            signal.signal(number, handler)
        reader.close()
        writer.close()


def _do_nothing(_number: int, _frame: Any) -> None:
    """Not ``SIG_IGN``: whatever a worker starts would inherit that."""


def _become(main: WorkerMain, connection: socket.socket) -> NoReturn:
    """Be a worker; never return into the command's loop."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    exit_code = 1
    try:
        main(UnderCommand(connection))
    except typer.Exit as ended:
        exit_code = ended.exit_code
    except BaseException:  # noqa: BLE001  # the fork must end here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
