"""Writes into open runs for the tasks of a worker: each write is acknowledged by the run, or refused.

The server allows few updates of one run at once and not many in all; so writes are collected, and at most one update a
run is in flight. It must not know what is written.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import defaultdict

from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow.exceptions import TemporalAirflowError
from temporal_airflow.models import RunWrite, WriteAnswer

MAX_WRITES = 100
"""Writes in one update."""

PAUSE = 0.5
"""Seconds between two attempts at an update while the server is away or busy."""

REFUSED = {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.FAILED_PRECONDITION}
"""How the server answers what it will never take."""

Waiting = list[tuple[RunWrite, asyncio.Future[WriteAnswer]]]

logger = logging.getLogger(__name__)


class WriteRefusedError(TemporalAirflowError):
    """A run didn't take a write."""


class RunWriter:
    """Writes into runs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: defaultdict[str, Waiting] = defaultdict(list)
        self._senders: dict[str, asyncio.Task[None]] = {}

    async def write(self, workflow_id: str, write: RunWrite) -> WriteAnswer:
        """Write, and wait until the run has acknowledged it; as long as the server is away, if need be.

        Raises:
            WriteRefusedError: if the run doesn't take it.
        """
        future: asyncio.Future[WriteAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[workflow_id].append((write, future))
        if workflow_id not in self._senders:
            self._senders[workflow_id] = asyncio.create_task(self._send_all(workflow_id))
        return await future

    async def _send_all(self, workflow_id: str) -> None:
        try:
            while waiting := self._waiting.pop(workflow_id, []):
                self._waiting[workflow_id].extend(waiting[MAX_WRITES:])
                await self._send(workflow_id, waiting[:MAX_WRITES])
        finally:
            del self._senders[workflow_id]

    async def _send(self, workflow_id: str, batch: Waiting) -> None:
        try:
            answers = await self._update(workflow_id, [write for write, _ in batch])
        except Exception as error:  # noqa: BLE001  # whoever writes raises it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if answer.refusal is None:
                future.set_result(answer)
            else:
                future.set_exception(WriteRefusedError(answer.refusal))

    async def _update(self, workflow_id: str, writes: list[RunWrite]) -> list[WriteAnswer]:
        """One update, repeated under the same id until the run answers it."""
        handle = self._client.get_workflow_handle(workflow_id)
        update_id = uuid.uuid4().hex
        while True:
            try:
                answers: list[WriteAnswer] = await handle.execute_update(
                    "write", writes, id=update_id, result_type=list[WriteAnswer]
                )
            except (WorkflowUpdateRPCTimeoutOrCancelledError, RPCError) as error:
                if isinstance(error, RPCError) and error.status in REFUSED:
                    raise WriteRefusedError(f"The run takes no more writes: {error.message}") from error
                logger.warning("A write into run %s is tried again: %s", workflow_id, error)
                await asyncio.sleep(PAUSE)
            except WorkflowUpdateFailedError as error:
                raise WriteRefusedError(f"The run takes no more writes: {error.cause}") from error
            else:
                return answers
