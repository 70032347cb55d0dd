"""Reads what is known of runs: open ones by query, closed ones from the snapshot in their result.

Used by the worker to answer its tasks' questions and by the client. Many tasks of one run may ask at once, while a
run answers one query at a time: so questions about XComs are collected, and at most one query a run is in flight. A
task must not fail because the server or the run's worker is away for a moment, while a person wants to be told: so a
reader is patient or not. It must not know why anything is asked.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryRejectedError,
)
from temporalio.common import QueryRejectCondition
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow.engine.xcom_pages import answer_questions
from temporal_airflow.exceptions import DagRunNotFoundError
from temporal_airflow.models import (
    DagExecutionInput,
    DagExecutionResult,
    DagRunRecord,
    TaskStateQuestion,
    TaskStateValue,
    XComPage,
    XComQuestion,
    XComRecord,
    XComRequest,
)

UNANSWERED = {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.FAILED_PRECONDITION}
"""How a query fails that nobody answers."""

AWAY = UNANSWERED | {RPCStatusCode.UNAVAILABLE, RPCStatusCode.RESOURCE_EXHAUSTED}
"""How anything fails that may go well a moment later."""

PATIENT_PAUSE = 1.0
"""Seconds between two questions to a run that has no worker at the moment."""

UNKNOWN = "No run with workflow id {!r} is known to the server."

T = TypeVar("T")
Waiting = list[tuple[XComQuestion, asyncio.Future[XComPage]]]
RunHandle = WorkflowHandle[object, DagExecutionResult]


class RunReader:
    """Answers questions about runs."""

    def __init__(self, client: Client, patient: bool = False) -> None:
        """Ask nothing yet.

        Args:
            client: connected to the server.
            patient: whether to ask again, without end, while the server or the worker of an open run is away.
        """
        self._client = client
        self._patient = patient
        self._waiting: defaultdict[str, Waiting] = defaultdict(list)
        self._fetchers: dict[str, asyncio.Task[None]] = {}
        self._executions: dict[str, DagExecutionInput] = {}

    async def record(self, workflow_id: str) -> DagRunRecord:
        """A run with its task instances.

        Raises:
            DagRunNotFoundError: if there is no such run.
        """
        return await self._ask(workflow_id, "state", result_type=DagRunRecord, of_closed=lambda result: result.snapshot)

    async def xcoms(self, workflow_id: str, request: XComRequest) -> tuple[XComRecord, ...]:
        """All XComs that match, however many pages they take."""
        found: list[XComRecord] = []
        offset: int | None = 0
        while offset is not None:
            page = await self.page(workflow_id, XComQuestion(request=request, offset=offset))
            found.extend(page.records)
            offset = page.next_offset
        return tuple(found)

    async def page(self, workflow_id: str, question: XComQuestion) -> XComPage:
        """One page of a run's XComs; waits its turn behind a query in flight."""
        future: asyncio.Future[XComPage] = asyncio.get_running_loop().create_future()
        self._waiting[workflow_id].append((question, future))
        if workflow_id not in self._fetchers:
            self._fetchers[workflow_id] = asyncio.create_task(self._fetch(workflow_id))
        return await future

    async def task_state(self, workflow_id: str, question: TaskStateQuestion) -> TaskStateValue | None:
        """A value of a task's state store; the run is open, since the task asks."""
        return await self._ask(
            workflow_id,
            "task_state",
            question,
            result_type=TaskStateValue | None,  # type: ignore[arg-type]  # a union is a type hint, not a type
        )

    async def execution(self, workflow_id: str) -> DagExecutionInput:
        """The input of a run's workflow, from its history: that of a long run's latest execution.

        Raises:
            DagRunNotFoundError: if there is no such run.
        """
        if workflow_id not in self._executions:
            self._executions[workflow_id] = await self._read_execution(workflow_id)
        return self._executions[workflow_id]

    async def _read_execution(self, workflow_id: str) -> DagExecutionInput:
        try:
            async for event in self._handle(workflow_id).fetch_history_events(page_size=1):
                started = event.workflow_execution_started_event_attributes
                [execution] = await self._client.data_converter.decode(started.input.payloads, [DagExecutionInput])
                return cast("DagExecutionInput", execution)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            raise DagRunNotFoundError(UNKNOWN.format(workflow_id)) from error
        raise AssertionError("a history without events")

    async def result_if_closed(self, workflow_id: str) -> DagExecutionResult | None:
        """The result of a closed run; None while it is open.

        Raises:
            DagRunNotFoundError: if there is no such run, or it was ended without a result.
        """
        handle = self._handle(workflow_id)
        try:
            description = await handle.describe()
            if description.status == WorkflowExecutionStatus.RUNNING:
                return None
            return await handle.result()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise DagRunNotFoundError(UNKNOWN.format(workflow_id)) from error
            raise
        except WorkflowFailureError as error:
            raise DagRunNotFoundError(
                f"Run {workflow_id!r} was ended from outside ({error.cause}) and left no result to read."
            ) from error

    async def _fetch(self, workflow_id: str) -> None:
        """Answer what waits for this run, in as few queries as it takes."""
        try:
            while batch := self._waiting.pop(workflow_id, []):
                await self._answer(workflow_id, batch)
        finally:
            del self._fetchers[workflow_id]

    async def _answer(self, workflow_id: str, batch: Waiting) -> None:
        try:
            pages = await self._pages(workflow_id, [question for question, _ in batch])
        except Exception as error:  # noqa: BLE001  # whoever asked raises it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), page in zip(batch, pages, strict=False):
            if not future.done():
                future.set_result(page)
        self._waiting[workflow_id].extend(batch[len(pages) :])  # one answer has room for so many

    async def _pages(self, workflow_id: str, questions: list[XComQuestion]) -> list[XComPage]:
        return await self._ask(
            workflow_id,
            "xcom",
            questions,
            result_type=list[XComPage],
            of_closed=lambda result: answer_questions(result.xcoms, questions),
        )

    async def _ask(
        self,
        workflow_id: str,
        query: str,
        *arguments: object,
        result_type: type[T],
        of_closed: Callable[[DagExecutionResult], T] | None = None,
    ) -> T:
        """What a run answers to a query; what its result says if it is closed, unless it is known to be open."""
        while True:
            try:
                return await self._ask_once(workflow_id, query, arguments, result_type, of_closed)
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    raise DagRunNotFoundError(UNKNOWN.format(workflow_id)) from error
                if not (self._patient and error.status in AWAY):
                    raise
                await asyncio.sleep(PATIENT_PAUSE)

    async def _ask_once(
        self,
        workflow_id: str,
        query: str,
        arguments: Sequence[object],
        result_type: type[T],
        of_closed: Callable[[DagExecutionResult], T] | None,
    ) -> T:
        handle, reject = self._handle(workflow_id), QueryRejectCondition.NOT_OPEN if of_closed else None
        while True:
            try:
                answer: T = await handle.query(query, args=arguments, result_type=result_type, reject_condition=reject)
            except WorkflowQueryRejectedError:
                result = await self.result_if_closed(workflow_id)
                if of_closed and result is not None:
                    return of_closed(result)
            else:
                return answer

    def _handle(self, workflow_id: str) -> RunHandle:
        return self._client.get_workflow_handle(workflow_id, result_type=DagExecutionResult)


def is_unanswered(error: BaseException | None) -> bool:
    """Whether a query failed because nobody serves the run."""
    return isinstance(error, RPCError) and error.status in UNANSWERED
