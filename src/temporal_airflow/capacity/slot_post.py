"""Takes what runs say about slots to pools, beside their workflow tasks. It must not know what they say.

A run hands a letter over and goes on. Letters for a pool that come while another one is on its way go together in the
next. The post is quick, not sure: a worker that is killed takes letters along, and what is on its way when a workflow
task is lost has been said though nothing was decided. Whoever writes has to bear both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import islice

from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Interceptor, WorkflowInboundInterceptor, WorkflowInterceptorClassInput

from temporal_airflow import identifiers
from temporal_airflow.capacity.slot_book import HolderKey, key_of
from temporal_airflow.models import SlotMessage

CALL_TIMEOUT = timedelta(seconds=4)
PAUSE = 5.0
"""Seconds between two tries to reach a pool."""

MOST_TRIES = 12
"""By then runs that still need an answer have noticed that there is none."""

MOST_MESSAGES = 100
"""In one letter, so that it stays small."""

LEAVING = 2.0
"""Seconds that a stopping worker waits until the last letters are delivered."""

log = logging.getLogger(__name__)

Mailbag = dict[HolderKey, SlotMessage]
"""The latest message of each run: it says everything, so it stands for those before."""


class SlotPost(Interceptor):
    """The post of one worker: an interceptor, which is how workflow code may get at what isn't in its history."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, Mailbag] = {}
        self._carriers: dict[str, asyncio.Task[None]] = {}

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[WorkflowInboundInterceptor] | None:
        """Let workflows post messages; nothing of theirs is intercepted."""
        input.unsafe_extern_functions[identifiers.SLOT_POST] = self.take
        return None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Carry letters for as long as the block runs, which is to be longer than that of the worker."""
        self._loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            if self._carriers:
                await asyncio.wait([*self._carriers.values()], timeout=LEAVING)
            for keeper, carrier in self._carriers.items():
                log.warning("%s was not told of slots in time; it will ask", keeper)
                carrier.cancel()

    def take(self, keeper: str, message: SlotMessage, pause: float) -> None:
        """Take a message that says everything; called in a workflow's thread.

        Args:
            keeper: id of the workflow that it is for.
            message: that may never arrive, or late.
            pause: seconds that it may wait for others.
        """
        assert self._loop is not None, "workflows run inside `open`"
        self._loop.call_soon_threadsafe(self._put, keeper, message, pause)

    def _put(self, keeper: str, message: SlotMessage, pause: float) -> None:
        self._waiting.setdefault(keeper, {})[key_of(message.holder)] = message
        if keeper not in self._carriers:
            self._carriers[keeper] = asyncio.create_task(self._carry(keeper, pause), name=f"post for {keeper}")

    async def _carry(self, keeper: str, pause: float) -> None:
        try:
            await asyncio.sleep(pause)
            await self._deliver_all(keeper)
        finally:
            del self._carriers[keeper]

    async def _deliver_all(self, keeper: str) -> None:
        """Deliver until nothing is left."""
        tries = 0
        while waiting := self._waiting.get(keeper):
            taken = dict(islice(waiting.items(), MOST_MESSAGES))
            self._waiting[keeper] = {key: message for key, message in waiting.items() if key not in taken}
            try:
                await self._deliver(keeper, taken)
                tries = 0
            except RPCError as error:
                tries += 1
                log.warning("%s can't be told of slots (try %s): %s", keeper, tries, error.message)
                if tries < MOST_TRIES:
                    self._waiting[keeper] = taken | self._waiting[keeper]
                    await asyncio.sleep(PAUSE)
        self._waiting.pop(keeper, None)

    async def _deliver(self, keeper: str, taken: Mailbag) -> None:
        pool = self._client.get_workflow_handle(keeper)
        await pool.signal(identifiers.SLOTS_SIGNAL, list(taken.values()), rpc_timeout=CALL_TIMEOUT)
