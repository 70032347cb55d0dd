"""Runs a series of attempts one after the other in a slot, and tells their run how they ended.

Ends are told a moment after they happened: by signal while another attempt runs, by the result of the activity at the
end. What hasn't begun is given back as soon as one takes long, the series does, the worker stops or somebody wants one
of them to stop. It must not know processes, nor what attempts do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers
from temporal_airflow.models import (
    AttemptReport,
    AttemptSeries,
    SeriesReport,
    TaskExecutionInput,
    TaskExecutionResult,
)
from temporal_airflow.models.series import LONG
from temporal_airflow.tasks.slots import Slot

LOOK = 0.25
"""Seconds between two looks at a running attempt: so late, at most, an end is told."""

PATIENCE = 3.0
"""Seconds within which attempts of a series begin, from its first one on."""

ASKING = 1.0
"""Seconds between two questions whether the running attempt is to stop, once there may be such."""

MOST_BYTES = 500_000
"""Of ends that aren't told yet, after which nothing more begins."""

CALL_TIMEOUT = timedelta(seconds=10)

FENCED = "Fenced"
"""Type of the error with which an attempt ends that the server is about to give to somebody else."""

SHUT_DOWN = "the worker was shut down"

log = logging.getLogger(__name__)


class Circumstances(Protocol):
    """What the activity is told from outside."""

    def is_ours(self) -> bool:
        """Whether the server still counts on this activity."""

    def is_worker_stopping(self) -> bool:
        """Whether the worker takes nothing new."""


class RunOfSeries:
    """The run that a series belongs to, as the worker reaches it."""

    def __init__(self, client: Client, workflow_id: str, run_id: str, series: str) -> None:
        self._run: WorkflowHandle[object, object] = client.get_workflow_handle(workflow_id, run_id=run_id)
        self._series = series

    async def tell(self, report: SeriesReport) -> bool:
        """Tell the run; whether it has heard."""
        try:
            await self._run.signal(identifiers.SERIES_SIGNAL, report, rpc_timeout=CALL_TIMEOUT)
        except RPCError as error:
            log.debug("%s is told later: %s", self._series, error.message)
            return False
        return True

    async def stopping(self) -> frozenset[str] | None:
        """Which attempts are to stop; None if nobody waits for any."""
        try:
            found = await self._run.query(
                identifiers.STOPPING_QUERY, self._series, result_type=list[str], rpc_timeout=CALL_TIMEOUT
            )
        except RPCError as error:
            return None if error.status == RPCStatusCode.NOT_FOUND else frozenset()
        return frozenset(found)


@dataclass(frozen=True)
class _Attempt:
    id: str
    input: TaskExecutionInput

    def report(self, result: TaskExecutionResult | None = None, loss: str | None = None) -> AttemptReport:
        return AttemptReport(
            task_id=self.input.task_id,
            map_index=self.input.map_index,
            try_number=self.input.try_number,
            activity_id=self.id,
            result=result,
            loss=loss,
        )


class SeriesOnWorker:
    """One series, from its start to its end."""

    def __init__(
        self,
        name: str,
        series: AttemptSeries,
        run: RunOfSeries,
        circumstances: Circumstances,
        serve: Callable[[Slot, TaskExecutionInput], Awaitable[TaskExecutionResult]],
    ) -> None:
        """Take over a series.

        Args:
            name: id of its activity.
            series: the attempts.
            run: which it belongs to.
            circumstances: of the activity.
            serve: has a slot run an attempt; a cancellation stops the attempt and is raised after.
        """
        pairs = zip(series.activity_ids, series.attempts, strict=True)
        self._name = name
        self._waiting = deque(_Attempt(id_, attempt) for id_, attempt in pairs)
        self._run = run
        self._circumstances = circumstances
        self._serve = serve
        self._ends: list[AttemptReport] = []
        self._bytes = 0  # of these ends
        self._returned: list[str] = []
        self._long: str | None = None
        self._telling: asyncio.Task[None] | None = None
        self._begun: float | None = None
        self._asks_from: float | None = None

    async def run(self, lease: Callable[[], AbstractAsyncContextManager[Slot]]) -> SeriesReport:
        """Run the attempts.

        Args:
            lease: a slot for some of them.

        Returns:
            What the run has not heard yet.
        """
        try:
            while self._goes_on():
                async with lease() as slot:
                    self._begun = self._begun or time.monotonic()
                    while self._goes_on() and slot.alive and slot.reusable:
                        await self._run_next(slot)
                        slot.uses += 1
        except asyncio.CancelledError:  # while it waited for a slot
            if not self._circumstances.is_ours():
                raise
        self._give_back()
        await self._told()
        return self._report()

    async def _told(self) -> None:
        """Wait until it is known whether the run has heard what is on its way."""
        while self._telling is not None:
            try:
                await asyncio.wait({self._telling})
            except asyncio.CancelledError:
                if not self._circumstances.is_ours():
                    raise

    def _goes_on(self) -> bool:
        if not self._waiting or self._circumstances.is_worker_stopping():
            return False
        late = self._begun is not None and time.monotonic() - self._begun > PATIENCE
        return not late and self._bytes < MOST_BYTES

    async def _run_next(self, slot: Slot) -> None:
        attempt, begun = self._waiting.popleft(), time.monotonic()
        running = asyncio.ensure_future(self._serve(slot, attempt.input))
        try:
            while not running.done():
                try:
                    await asyncio.wait({running}, timeout=LOOK)
                    await self._look(attempt, running, begun)
                except asyncio.CancelledError:
                    self._interrupted(running)
        except BaseException:
            running.cancel()
            raise
        end = self._outcome(attempt, running)
        self._ends.append(end)
        self._bytes += _size(end)

    async def _look(self, attempt: _Attempt, running: asyncio.Future[TaskExecutionResult], begun: float) -> None:
        """See what is to be done while an attempt runs."""
        if running.done():
            return
        if time.monotonic() - begun > LONG.total_seconds() and self._waiting:
            self._long = attempt.id
            self._give_back()
        if self._telling is None and (self._ends or self._returned):
            self._telling = asyncio.create_task(self._tell(), name=f"ends of {self._name}")
        if self._asks_from is not None and time.monotonic() >= self._asks_from:
            self._asks_from = time.monotonic() + ASKING
            stopping = await self._run.stopping()
            if stopping is None or attempt.id in stopping:
                running.cancel()

    def _interrupted(self, running: asyncio.Future[TaskExecutionResult]) -> None:
        """The activity is cancelled: given up by the server, stopped with its worker, or told to look."""
        if not self._circumstances.is_ours():
            raise asyncio.CancelledError
        self._give_back()
        if self._circumstances.is_worker_stopping():
            running.cancel()
        else:
            self._asks_from = time.monotonic()

    def _outcome(self, attempt: _Attempt, running: asyncio.Future[TaskExecutionResult]) -> AttemptReport:
        if running.cancelled():
            stopped_with_worker = self._circumstances.is_worker_stopping()
            return attempt.report(loss=SHUT_DOWN if stopped_with_worker else None)
        match running.exception():
            case None:
                return attempt.report(result=running.result())
            case ApplicationError(type=type_) as error if type_ != FENCED:
                return attempt.report(loss=str(error))
            case error:
                raise error

    def _give_back(self) -> None:
        self._returned += [attempt.id for attempt in self._waiting]
        self._waiting.clear()

    def _report(self) -> SeriesReport:
        return SeriesReport.of(self._name, self._ends, self._returned, self._long)

    async def _tell(self) -> None:
        ends, returned = list(self._ends), list(self._returned)
        if await self._run.tell(self._report()):
            self._ends = self._ends[len(ends) :]
            self._bytes = sum(map(_size, self._ends))
            self._returned = self._returned[len(returned) :]
        self._telling = None


def _size(end: AttemptReport) -> int:
    return len(end.model_dump_json())
