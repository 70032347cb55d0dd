"""One slot as the worker sees it: messages there and back, and a sure way to be rid of it.

It must not know how slots are forked, pooled, or what the messages are for.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Self

from temporal_airflow.exceptions import ProcessLostError
from temporal_airflow.tasks import messages
from temporal_airflow.tasks.memory import children_of
from temporal_airflow.tasks.messages import AnyReply, Ask, Heartbeat, Message

logger = logging.getLogger(__name__)


class Slot:
    """A slot process.

    Attributes:
        pid: of the slot; its tasks are below it.
        uses: how many requests it was given to.
        reusable: False once it said that it can't take another request.
        largest_task: kilobytes of the largest task process that has ended.
    """

    def __init__(
        self,
        pid: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        kill_tree: Callable[[int], asyncio.Future[None]],
        last_words: Callable[[], str],
    ) -> None:
        """Wrap a forked slot; see :meth:`connect`."""
        self.pid = pid
        self.uses = 0
        self.reusable = True
        self.largest_task = 0
        self._reader = reader
        self._writer = writer
        self._kill_tree = kill_tree
        self._last_words = last_words
        self._killed: asyncio.Future[None] | None = None
        self._runner: int | None = None

    @classmethod
    async def connect(
        cls,
        pid: int,
        connection: socket.socket,
        kill_tree: Callable[[int], asyncio.Future[None]],
        last_words: Callable[[], str],
    ) -> Self:
        """Wrap a forked slot.

        Args:
            pid: of the slot.
            connection: the worker's end of its socket.
            kill_tree: kills a slot with everything below it; the future is done when all are dead.
            last_words: what the slots' processes last wrote to stderr.
        """
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=messages.MAX_LINE)
        return cls(pid, reader, writer, kill_tree, last_words)

    @property
    def alive(self) -> bool:
        """Whether the slot can be given work, as far as the worker knows."""
        return self._killed is None and not self._reader.at_eof() and not self._writer.is_closing()

    async def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            ProcessLostError: if the slot is gone.
        """
        try:
            self._writer.write(messages.encode(message))
            await self._writer.drain()
        except (ConnectionResetError, BrokenPipeError) as error:
            raise self._lost() from error

    async def receive(self) -> AnyReply | Heartbeat | Ask:
        """Wait for the next message.

        Raises:
            ProcessLostError: if the slot is gone.
        """
        message = messages.from_slot.validate_json(await self.receive_line())
        if isinstance(message, messages.Reply):
            self.reusable = message.reusable
        if isinstance(message, messages.TaskDone):
            self.largest_task = message.largest_task
            self._runner = message.runner
        return message

    async def receive_line(self) -> bytes:
        """Wait for the next message, unread.

        Raises:
            ProcessLostError: if the slot is gone.
        """
        try:
            return await self._reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, ConnectionResetError) as error:
            raise self._lost() from error

    def has_children(self) -> bool:
        """Whether something that a task left behind is still running below the slot."""
        return any(child != self._runner for child in children_of(self.pid))

    def kill(self) -> None:
        """Kill the slot and everything below it, in whatever session; :meth:`wait_closed` waits for it."""
        if self._killed is None:
            self._killed = self._kill_tree(self.pid)
            self._writer.close()

    async def wait_closed(self) -> None:
        """Wait until the slot that was killed, and everything below it, is dead."""
        if self._killed is not None:
            await asyncio.shield(self._killed)

    def _lost(self) -> ProcessLostError:
        logger.warning("Slot %s is gone. Last words of task processes:\n%s", self.pid, self._last_words())
        return ProcessLostError(f"The process {self.pid} that ran the task is gone.")
