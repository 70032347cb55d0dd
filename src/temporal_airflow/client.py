"""One typed facade to act on runs: start, look, cancel. For the command line, the Python API and later parts alike.

It must not know how a run is carried out, nor print anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from airflow.utils.state import DagRunState, TaskInstanceState
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import answering, identifiers, run_listing, worker_presence
from temporal_airflow.dag_loader import checked
from temporal_airflow.engine import open_questions
from temporal_airflow.exceptions import (
    DagRunAlreadyExistsError,
    DagRunNotFoundError,
    InputError,
    NoWorkerError,
    ServerError,
)
from temporal_airflow.models import (
    DagExecutionResult,
    DagRunRecord,
    InputResponse,
    LoadDagInput,
    LoadedDag,
    LoadFailure,
    Routing,
    TriggeredRun,
    XComRecord,
    XComRequest,
)
from temporal_airflow.run_listing import ListedRun
from temporal_airflow.run_reader import RunReader, is_unanswered
from temporal_airflow.run_starting import start_run

QUICK_ANSWER = 2.0
"""Seconds for a run to answer a query before it is asked whether it has a worker at all; milliseconds are usual."""

QUERY_PATIENCE = 10.0
"""Seconds more for a worker to answer: a busy one, or one that has to replay a long run."""

SETTLE_PATIENCE = 2.0
"""Seconds for a run to take note of what happened."""

SETTLE_LOOK = 0.05
"""Seconds between two looks whether it has."""

T = TypeVar("T")


class DagRunClient:
    """Starts runs and acts on them."""

    def __init__(self, client: Client) -> None:
        self.temporal = client
        self._reader = RunReader(client)

    async def start(self, loaded: LoadedDag, *, task_queue: str, route_queues: bool) -> str:
        """Start a run.

        Args:
            loaded: the DAG and the run, validated.
            task_queue: where its workers are.
            route_queues: see :class:`DagExecutionInput`.

        Returns:
            The workflow id.

        Raises:
            DagRunAlreadyExistsError: if there is such a run, open or closed.
            InputError: if the DAG's ``max_active_runs`` is reached.
        """
        run = loaded.run
        workflow_id = identifiers.workflow_id(run.dag_id, run.run_id)
        await self._check_active_runs(loaded, workflow_id)
        try:
            await start_run(self.temporal, loaded, Routing(task_queue=task_queue, route_queues=route_queues))
        except WorkflowAlreadyStartedError as error:
            raise DagRunAlreadyExistsError(await self._explain_existing(workflow_id, run.dag_id, run.run_id)) from error
        return workflow_id

    async def load(self, request: LoadDagInput, *, task_queue: str, within: timedelta) -> LoadedDag:
        """Ask a worker for its copy of a DAG.

        Raises:
            ServerError: if no worker answers in time.
            InputError: whatever the worker found wrong.
        """
        await worker_presence.wait_for_worker(self.temporal, task_queue)
        handle = await self.temporal.start_workflow(
            identifiers.LOAD_WORKFLOW_TYPE,
            request,
            id=identifiers.load_workflow_id(request.dag_id or "", uuid.uuid4().hex),
            task_queue=task_queue,
            execution_timeout=within,
            result_type=LoadedDag | LoadFailure,  # type: ignore[arg-type]  # a union is a type hint, not a type
        )
        try:
            outcome: LoadedDag | LoadFailure = await handle.result()
        except Exception as error:
            raise ServerError(
                f"No worker on task queue {task_queue!r} loaded DAG {request.dag_id!r} within {within.seconds} s. "
                "Start one with `temporal-airflow worker --dags-folder FOLDER`."
            ) from error
        return checked(outcome)

    async def open_run_of(self, dag_id: str, run_id: str) -> str | None:
        """The workflow id of this run if it is open; None if there is none or it has ended."""
        workflow_id = identifiers.workflow_id(dag_id, run_id)
        try:
            description = await self._handle(workflow_id).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise
        memo = await description.memo()
        same = (memo.get("dag_id"), memo.get("run_id")) == (dag_id, run_id)
        return workflow_id if same and description.status == WorkflowExecutionStatus.RUNNING else None

    async def find(self, reference: str) -> str:
        """The workflow id of a run as a user names it.

        Raises:
            DagRunNotFoundError: if the server doesn't know it.
        """
        pair = identifiers.split_run_reference(reference)
        workflow_id = identifiers.workflow_id(*pair) if pair else reference
        description = await self._describe(workflow_id, reference)
        memo = await description.memo()
        if pair and (memo.get("dag_id"), memo.get("run_id")) != pair:
            raise DagRunNotFoundError(
                f"No run {reference!r}: its workflow id {workflow_id!r} belongs to run {memo.get('run_id')!r} of DAG "
                f"{memo.get('dag_id')!r}."
            )
        return workflow_id

    async def record(self, workflow_id: str) -> DagRunRecord:
        """A run and its task instances as they are now: tasks that no worker has taken yet are queued."""
        record = await self._answered(workflow_id, self._reader.record(workflow_id))
        if record.state != DagRunState.RUNNING:
            return record
        where = (workflow_id, *record.batches)
        found = await asyncio.gather(*(self._handle(each).describe() for each in where), return_exceptions=True)
        return _with_queued(record, [each for each in found if isinstance(each, WorkflowExecutionDescription)])

    async def xcoms(self, workflow_id: str, request: XComRequest) -> tuple[XComRecord, ...]:
        """XComs of an open or closed run."""
        return await self._answered(workflow_id, self._reader.xcoms(workflow_id, request))

    async def result(self, workflow_id: str) -> DagExecutionResult:
        """Wait for the end of a run."""
        result: DagExecutionResult = await self._handle(workflow_id).result()
        return result

    async def end_of(self, run: TriggeredRun) -> str:
        """Wait for the end of a run that a task has started; its state, for people."""
        try:
            result = await self.result(identifiers.workflow_id(run.dag_id, run.run_id))
        except WorkflowFailureError:
            return "ended from outside"
        return result.state.value

    async def started_by(self, workflow_id: str) -> list[TriggeredRun]:
        """The runs that tasks of a run have started, once it has ended."""
        found: list[TriggeredRun] = []
        for triggered in (await self.result(workflow_id)).triggered_runs:
            started = identifiers.workflow_id(triggered.dag_id, triggered.run_id)
            with contextlib.suppress(DagRunNotFoundError):  # it was refused
                memo = await (await self._describe(started, started)).memo()
                if identifiers.starting_run(memo) == workflow_id and triggered not in found:
                    found.append(triggered)
        return found

    async def watch(self, workflow_id: str, interval: float = 0.25) -> AsyncIterator[DagRunRecord]:
        """The run's record now and whenever it may have changed, the final one last.

        Args:
            workflow_id: of the run.
            interval: seconds between two looks.
        """
        ending = asyncio.create_task(self.result(workflow_id))
        try:
            while not ending.done():
                with contextlib.suppress(NoWorkerError):  # one may come
                    yield await self.record(workflow_id)
                await asyncio.wait({ending}, timeout=interval)
            yield ending.result().snapshot
        finally:
            ending.cancel()

    async def is_open(self, workflow_id: str) -> bool:
        """Whether a run has not ended yet."""
        description = await self._describe(workflow_id, workflow_id)
        return description.status == WorkflowExecutionStatus.RUNNING

    async def settle(self, workflow_id: str) -> bool:
        """Wait a moment until a run has taken note of what happened to its tasks.

        A worker that leaves before takes a step of the run with it, which another worker gets only after its timeout.

        Returns:
            Whether the run is still open.
        """
        for _ in range(round(SETTLE_PATIENCE / SETTLE_LOOK)):
            description = await self._describe(workflow_id, workflow_id)
            raw = description.raw_description
            if description.status != WorkflowExecutionStatus.RUNNING:
                return False
            if not raw.HasField("pending_workflow_task") and not raw.pending_activities:
                break
            await asyncio.sleep(SETTLE_LOOK)
        return True

    async def cancel(self, workflow_id: str) -> None:
        """Ask a run to end: running tasks get ``on_kill``; returns before it has ended."""
        await self._handle(workflow_id).cancel()

    async def respond(
        self,
        workflow_id: str,
        task_id: str,
        *,
        chosen_options: Sequence[str] = (),
        params_input: Mapping[str, Any] | None = None,
        map_index: int = -1,
        user: str | None = None,
    ) -> None:
        """Answer what a task asks; the answer has been taken when this returns.

        Args:
            workflow_id: of the run.
            task_id: of the task that waits.
            chosen_options: of those it offers; needn't be given if there is only one.
            params_input: values for the fields of its form, for all of them or none.
            map_index: of the task instance.
            user: id or name of who answers, as it is to be remembered; this process's user by default.

        Raises:
            InputError: why the run doesn't take the answer.
            NoWorkerError: if no worker is there to take it.
        """
        response = InputResponse(
            task_id=task_id,
            map_index=map_index,
            chosen_options=tuple(chosen_options),
            params_input=dict(params_input or {}),
            user=user or answering.own_name(),
        )
        if not await self.is_open(workflow_id):
            raise InputError(f"Run {workflow_id!r} has ended: no task waits for an answer.")
        if absence := open_questions.absence(await self.record(workflow_id), response):
            raise InputError(absence)
        await answering.send(self._handle(workflow_id), response)

    def list_runs(self, *, dag_id: str | None = None, limit: int = 50) -> AsyncIterator[ListedRun]:
        """Runs, latest start first.

        Args:
            dag_id: only of this DAG.
            limit: at most so many.
        """
        return run_listing.list_runs(self.temporal, self._reader, dag_id, limit)

    async def _check_active_runs(self, loaded: LoadedDag, workflow_id: str) -> None:
        """Refuse a run over ``max_active_runs``: Airflow would let it wait, which this version can't."""
        limit = loaded.definition.max_active_runs
        dag_id = loaded.definition.dag_id
        active = [
            run.run_id async for run in run_listing.open_runs(self.temporal, dag_id) if run.workflow_id != workflow_id
        ]
        if len(active) >= limit:
            raise InputError(
                f"DAG {dag_id!r} has max_active_runs={limit} and {len(active)} open run(s): {', '.join(active[:5])}. "
                "Wait for one to end, cancel it, or raise max_active_runs."
            )

    async def _answered(self, workflow_id: str, asking: Awaitable[T]) -> T:
        """What a run answers to a query.

        Raises:
            NoWorkerError: if it is open and no worker serves it.
        """
        answer = asyncio.ensure_future(asking)
        try:
            await asyncio.wait({answer}, timeout=QUICK_ANSWER)
            if not answer.done() and await worker_presence.has_worker(
                self.temporal, await self._task_queue_of(workflow_id)
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

    async def _task_queue_of(self, workflow_id: str) -> str:
        return (await self._describe(workflow_id, workflow_id)).task_queue

    async def _explain_existing(self, workflow_id: str, dag_id: str, run_id: str) -> str:
        memo = await (await self._describe(workflow_id, workflow_id)).memo()
        owner = (memo.get("dag_id"), memo.get("run_id"))
        if owner != (dag_id, run_id):
            return (
                f"Run {run_id!r} of DAG {dag_id!r} would have the workflow id {workflow_id!r}, which belongs to run "
                f"{owner[1]!r} of DAG {owner[0]!r}. Choose another run id."
            )
        try:
            state = (await self.record(workflow_id)).state.value
        except NoWorkerError:
            state = DagRunState.RUNNING.value
        except DagRunNotFoundError:
            state = "ended from outside"
        return f"Run {run_id!r} of DAG {dag_id!r} exists already: {state}. Choose another --run-id."

    async def _describe(self, workflow_id: str, reference: str) -> WorkflowExecutionDescription:
        try:
            return await self._handle(workflow_id).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise DagRunNotFoundError(
                    f"No run {reference!r} is known to the server. `temporal-airflow list` shows the runs there are."
                ) from error
            raise

    def _handle(self, workflow_id: str) -> WorkflowHandle[object, DagExecutionResult]:
        return self.temporal.get_workflow_handle(workflow_id, result_type=DagExecutionResult)


def now() -> datetime:
    """The moment of a request, in whole microseconds of UTC."""
    return datetime.now(UTC)


def _with_queued(record: DagRunRecord, descriptions: Sequence[WorkflowExecutionDescription]) -> DagRunRecord:
    untaken = {
        pending.activity_id
        for description in descriptions
        for pending in description.raw_description.pending_activities
        if pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    }
    queued = {activity_id.partition("/")[0] for activity_id in untaken}
    for series in record.series:
        queued |= set(series.labels if series.activity_id in untaken else series.labels[1:])
    task_instances = tuple(
        ti.model_copy(update={"state": TaskInstanceState.QUEUED, "start_date": None})
        if ti.state == TaskInstanceState.RUNNING and identifiers.task_label(ti.task_id, ti.map_index) in queued
        else ti
        for ti in record.task_instances
    )
    return record.model_copy(update={"task_instances": task_instances})
