"""The worker's end of one guardian and its template: has slots forked and killed, reports why the processes died.

Two sockets: the lifeline ties the guardian to this process and carries requests to kill slots; the control socket
goes to the template and carries requests to fork them. stderr of all processes below is read here; its last lines
explain a loss. It must not know what slots are used for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any, Self

from temporal_airflow.exceptions import ProcessLostError
from temporal_airflow.tasks import guardian_start, process_tree
from temporal_airflow.tasks.guardian_start import StartedGuardian
from temporal_airflow.tasks.slot_connection import Slot
from temporal_airflow.tasks.socket_lines import Lines

LAST_LINES = 40
"""Lines of stderr that are kept to explain a loss."""

CHUNK = 64 * 1024

GUARDIAN_PATIENCE = 10.0
"""Seconds that a closing guardian gets to kill everything below it."""

logger = logging.getLogger(__name__)


class GuardedTemplate:
    """A guardian, a template below it, and the slots below that."""

    def __init__(self, guardian: StartedGuardian, stderr: asyncio.StreamReader, pipe: asyncio.ReadTransport) -> None:
        """Take over started processes; see :meth:`launch`."""
        self._guardian = guardian.process
        self._guardian_stderr = stderr
        self._pipe = pipe
        self._lifeline = guardian.lifeline
        self._control = guardian.control
        self._last_words: deque[str] = deque(maxlen=LAST_LINES)
        self._kills: dict[int, asyncio.Future[None]] = {}
        self._forking = asyncio.Lock()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines = Lines(guardian.control)
        self._forks: set[asyncio.Task[Slot]] = set()
        self._stderr = asyncio.create_task(self._read_stderr(), name="stderr of task processes")
        self._readers = [
            asyncio.create_task(self._read_lifeline(), name="guardian of task processes"),
            asyncio.create_task(self._await_ready(), name="start of the process template"),
        ]

    @classmethod
    async def launch(cls, environ: Mapping[str, str]) -> Self:
        """Start the processes; it takes seconds more until they are ready.

        Args:
            environ: environment of all processes that run user code.
        """
        guardian = guardian_start.started(environ)
        for connection in (guardian.lifeline, guardian.control):
            connection.setblocking(False)
        stderr = asyncio.StreamReader()
        assert guardian.process.stderr is not None
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stderr), guardian.process.stderr
        )
        return cls(guardian, stderr, pipe)

    @property
    def was_ready(self) -> bool:
        """Whether Airflow could be imported, so that a later death is an accident."""
        return self._ready.done() and self._ready.exception() is None

    async def ready(self) -> None:
        """Wait until Airflow is imported.

        Raises:
            ProcessLostError: if it can't be, with the reason it gave.
        """
        await asyncio.shield(self._ready)

    async def fork_slot(self) -> Slot:
        """Fork a slot.

        Raises:
            ProcessLostError: if the template is gone.
        """
        await self.ready()
        forking = asyncio.create_task(self._fork_slot(), name="fork of a slot")
        self._forks.add(forking)
        forking.add_done_callback(self._forks.discard)
        try:
            return await asyncio.shield(forking)
        except asyncio.CancelledError:
            forking.add_done_callback(_kill_unwanted)
            raise

    async def _fork_slot(self) -> Slot:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                async with self._forking:
                    answer = await self._request_fork(theirs)
            if answer is None:
                raise await self._lost()
        except BaseException:
            ours.close()
            raise
        return await Slot.connect(int(answer.removeprefix("slot ")), ours, self._kill_tree, self._words)

    async def _request_fork(self, connection: socket.socket) -> str | None:
        try:
            socket.send_fds(self._control, [b"f"], [connection.fileno()])
        except OSError as error:
            logger.debug("Control socket of the process template: %s", error)
            return None
        return await self._lines.next()

    def _kill_tree(self, pid: int) -> asyncio.Future[None]:
        killed = self._kills.setdefault(pid, asyncio.get_running_loop().create_future())
        try:
            self._lifeline.send(f"kill {pid}\n".encode())
        except OSError:  # no guardian, so no template either: what is left is at most this one process
            process_tree.send_signal(pid, signal.SIGKILL)
            self._kills.pop(pid).set_result(None)
        return killed

    async def _read_lifeline(self) -> None:
        lines = Lines(self._lifeline)
        while line := await lines.next():
            if killed := self._kills.pop(int(line.removeprefix("killed ")), None):
                killed.set_result(None)
        self._all_killed()

    async def _read_stderr(self) -> None:
        unfinished = b""
        while chunk := await self._guardian_stderr.read(CHUNK):  # not by lines: no line may be too long to be read
            *lines, unfinished = (unfinished + chunk).split(b"\n")
            self._remember(lines)
            if len(unfinished) > CHUNK:
                self._remember([unfinished])
                unfinished = b""
        self._remember([unfinished] if unfinished else [])

    def _remember(self, lines: list[bytes]) -> None:
        for line in lines:
            words = line.decode(errors="replace")
            self._last_words.append(words)
            logger.debug("Task processes: %s", words)

    async def _await_ready(self) -> None:
        if await self._lines.next() == "ready":
            self._ready.set_result(None)
        else:
            self._fail(await self._lost())

    def _fail(self, reason: ProcessLostError) -> None:
        self._ready.set_exception(reason)
        self._ready.exception()  # whoever asks is told; nobody has to ask

    async def _guardian_ended(self) -> int:
        return await asyncio.to_thread(self._guardian.wait)

    async def _lost(self) -> ProcessLostError:
        exit_code = await self._guardian_ended()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._stderr), 1)
        words = self._words()
        return ProcessLostError(
            f"Airflow's process for tasks ended with exit code {exit_code}." + (f"\n{words}" if words else "")
        )

    def _words(self) -> str:
        return "\n".join(self._last_words)

    async def close(self) -> None:
        """End the guardian, which kills everything below it."""
        await _cancel(*self._readers, *self._forks)  # before their sockets: a loop must not watch a closed one
        if not self._ready.done():
            self._fail(ProcessLostError("Airflow's process for tasks was stopped before it was ready."))
        self._lifeline.close()
        self._control.close()
        try:
            await asyncio.wait_for(self._guardian_ended(), GUARDIAN_PATIENCE)
        except TimeoutError:
            self._guardian.kill()
            await self._guardian_ended()
        await _cancel(self._stderr)
        self._pipe.close()
        self._all_killed()

    def _all_killed(self) -> None:
        for killed in self._kills.values():  # the guardian kills everything before it goes
            killed.set_result(None)
        self._kills.clear()


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _kill_unwanted(forking: asyncio.Task[Slot]) -> None:
    if not forking.cancelled() and forking.exception() is None:
        forking.result().kill()
