"""How runs stand, for people: what a run tells of itself, completed by what only the server and pools know.

A run answers on the worker that also takes its steps, and the server hands out questions before steps that wait: so a
run that is watched is asked again only once something has happened to it. It must not act on runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TypeVar

from airflow.utils.state import DagRunState
from temporalio.client import Client

from temporal_airflow import full_pools, queued_attempts, worker_presence
from temporal_airflow.exceptions import NoWorkerError
from temporal_airflow.models import DagExecutionResult, DagRunRecord
from temporal_airflow.run_finding import RunFinder
from temporal_airflow.run_reader import RunReader, is_unanswered

QUICK_ANSWER = 2.0
"""Seconds for a run to answer a query before it is asked whether it has a worker at all; milliseconds are usual."""

QUERY_PATIENCE = 10.0
"""Seconds more for a worker to answer: a busy one, or one that has to replay a long run."""

SPARING = 0.0002
"""Seconds without a look at a run for each of its task instances; a look at 10,000 takes a worker a third of one."""

T = TypeVar("T")


@dataclass(frozen=True)
class Told:
    """What a run has told of itself.

    Attributes:
        execution: the run id of the workflow's execution that was asked.
        events: length of its history just before.
        record: the answer.
    """

    execution: str
    events: int
    record: DagRunRecord


class RunWatcher:
    """Looks at runs."""

    def __init__(self, client: Client, reader: RunReader, finder: RunFinder) -> None:
        """Look at nothing yet.

        Args:
            client: connected to the server.
            reader: asks runs.
            finder: knows what the server says of them.
        """
        self._client = client
        self._reader = reader
        self._finder = finder

    async def record(self, workflow_id: str) -> DagRunRecord:
        """A run and its task instances as they are now: tasks that no worker has taken yet are queued.

        Raises:
            NoWorkerError: if it is open and no worker serves it.
        """
        return await self._completed(workflow_id, await self._asked(workflow_id))

    async def watch(
        self, workflow_id: str, interval: float, ending: asyncio.Future[DagExecutionResult]
    ) -> AsyncIterator[DagRunRecord]:
        """The run's record now and whenever it may have changed, until its end.

        Args:
            workflow_id: of the run.
            interval: seconds between two looks, at least.
            ending: done once the run has ended.
        """
        told: Told | None = None
        while not ending.done():
            pause = interval
            with contextlib.suppress(NoWorkerError):  # one may come
                told = await self._told(workflow_id, told)
                record = await self._completed(workflow_id, told.record)
                pause = max(interval, SPARING * len(record.task_instances))
                yield record
            await asyncio.wait({ending}, timeout=pause)

    async def answered(self, workflow_id: str, asking: Awaitable[T]) -> T:
        """What a run answers to a query.

        Raises:
            NoWorkerError: if it is open and no worker serves it.
        """
        answer = asyncio.ensure_future(asking)
        try:
            await asyncio.wait({answer}, timeout=QUICK_ANSWER)
            if not answer.done() and await worker_presence.has_worker(
                self._client, await self._task_queue_of(workflow_id)
            ):
                await asyncio.wait({answer}, timeout=QUERY_PATIENCE)
            if answer.done() and not is_unanswered(answer.exception()):
                return answer.result()
        finally:
            answer.cancel()
        task_queue = await self._task_queue_of(workflow_id)
        raise NoWorkerError(
            f"Run {workflow_id!r} is open, and no worker of its task queue {task_queue!r} tells its state. Start one "
            "with `temporal-airflow worker`, or go on with the run by `temporal-airflow run FILE --run-id ...`; "
            "`temporal-airflow list` works without."
        )

    async def _told(self, workflow_id: str, last: Told | None) -> Told:
        """What a run tells: the same as last time if nothing has happened to it since just before it was asked."""
        description = await self._finder.describe(workflow_id)
        execution, events = description.run_id, description.history_length
        if last is not None and (last.execution, last.events) == (execution, events):
            return last
        return Told(execution, events, await self._asked(workflow_id))

    async def _asked(self, workflow_id: str) -> DagRunRecord:
        return await self.answered(workflow_id, self._reader.record(workflow_id))

    async def _completed(self, workflow_id: str, record: DagRunRecord) -> DagRunRecord:
        if record.state != DagRunState.RUNNING:
            return record
        record = await queued_attempts.found(self._client, self._reader, workflow_id, record)
        return await full_pools.with_numbers(self._client, record)

    async def _task_queue_of(self, workflow_id: str) -> str:
        return (await self._finder.describe(workflow_id)).task_queue
