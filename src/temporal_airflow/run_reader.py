"""Reads what is known of runs: open ones by query, closed ones from the snapshot in their result.

Used by the worker to answer its tasks' questions and by the client. Many tasks of one run may ask at once, while a
run answers one query at a time: so questions about XComs are collected, and at most one query a run is in flight. It
must not know why anything is asked.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import datetime

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers
from temporal_airflow.engine.xcom_pages import answer_questions
from temporal_airflow.exceptions import DagRunNotFoundError
from temporal_airflow.models import (
    DagExecutionResult,
    DagRunRecord,
    XComPage,
    XComQuestion,
    XComRecord,
    XComRequest,
)

Waiting = list[tuple[XComQuestion, asyncio.Future[XComPage]]]
RunHandle = WorkflowHandle[object, DagExecutionResult]


class RunReader:
    """Answers questions about runs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: defaultdict[str, Waiting] = defaultdict(list)
        self._fetchers: dict[str, asyncio.Task[None]] = {}

    async def record(self, workflow_id: str) -> DagRunRecord:
        """A run with its task instances.

        Raises:
            DagRunNotFoundError: if there is no such run.
        """
        result = await self.result_if_closed(workflow_id)
        if result is not None:
            return result.snapshot
        record: DagRunRecord = await self._handle(workflow_id).query("state", result_type=DagRunRecord)
        return record

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
                raise DagRunNotFoundError(f"No run with workflow id {workflow_id!r} is known to the server.") from error
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
        result = await self.result_if_closed(workflow_id)
        if result is not None:
            return answer_questions(result.xcoms, questions)
        pages: list[XComPage] = await self._handle(workflow_id).query("xcom", questions, result_type=list[XComPage])
        return pages

    def _handle(self, workflow_id: str) -> RunHandle:
        return self._client.get_workflow_handle(workflow_id, result_type=DagExecutionResult)


async def previous_run(
    client: Client, reader: RunReader, dag_id: str, before: datetime, state: str | None
) -> DagRunRecord | None:
    """The latest run of a DAG with an earlier logical date.

    Args:
        client: connected to the server.
        reader: of the same server.
        dag_id: the DAG.
        before: logical dates must be earlier.
        state: only runs in this state; None takes any.
    """
    query = identifiers.runs_query(dag_id)
    candidates: list[tuple[datetime, str]] = []
    async for execution in client.list_workflows(query):
        memo = await execution.memo()
        logical_date = datetime.fromisoformat(memo["logical_date"]) if memo.get("logical_date") else None
        if memo.get("dag_id") == dag_id and logical_date is not None and logical_date < before:
            candidates.append((logical_date, execution.id))
    for _, workflow_id in sorted(candidates, reverse=True):
        record = await reader.record(workflow_id)
        if state is None or record.state.value == state:
            return record
    return None
